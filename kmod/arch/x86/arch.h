/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs on x86-64: the stack of the trampoline, entries of functions, numbers of system calls. */
#ifndef _DMNS_ARCH_H
#define _DMNS_ARCH_H

/* The stack of the trampoline. */
struct dmns_frame {
	unsigned long a5, a4, a3, a2, a1;
	unsigned long frame_pointer;
	/* The address after the entry of the function, or that of a livepatch. */
	unsigned long body;
};

/* Returns the address after the patched entry of a function. A kprobe comes after its ENDBR. */
#define dmns_arch_body(function) ((function) + MCOUNT_INSN_SIZE)

/*
 * Returns what a system call of another ABI has done to namespaces; DMNS_CALL_NATIVE where the
 * number is that of the native call.
 */
static inline enum dmns_call dmns_foreign_call(u32 arch, int number)
{
#ifdef CONFIG_X86_X32_ABI
	/* x32 has a bit of its own in the number, and numbers of its own for some calls. */
	if (number & __X32_SYSCALL_BIT) {
		switch (number & ~__X32_SYSCALL_BIT) {
		case 520: /* execve */
		case 545: /* execveat */
			return DMNS_CALL_EXECS;
		}
	}
#endif
#ifdef CONFIG_IA32_EMULATION
	/* Its own numbers for the older calls; from 424 on, all have the same. */
	if (arch == AUDIT_ARCH_I386) {
		switch (number) {
		case 120: /* clone */
		case 310: /* unshare */
			return DMNS_CALL_CREATES;
		case 346: /* setns */
			return DMNS_CALL_ENTERS;
		case 2: /* fork */
		case 190: /* vfork */
			return DMNS_CALL_FORKS;
		case 11: /* execve */
		case 358: /* execveat */
			return DMNS_CALL_EXECS;
		}
		if (number < 424)
			return DMNS_CALL_OTHER;
	}
#endif
	return DMNS_CALL_NATIVE;
}

#ifdef CONFIG_X86_X32_ABI
#define DMNS_NATIVE_NUMBER(number) ((number) & ~__X32_SYSCALL_BIT)
#else
#define DMNS_NATIVE_NUMBER(number) (number)
#endif

#endif

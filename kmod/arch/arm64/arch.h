/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs on arm64: the stack of the trampoline, entries of functions, numbers of system calls. */
#ifndef _DMNS_ARCH_H
#define _DMNS_ARCH_H

/* The stack of the trampoline. */
struct dmns_frame {
	unsigned long frame_pointer;
	unsigned long caller;
	unsigned long a1, a2, a3, a4, a5;
	/* The address after the entry of the function, or that of a livepatch. */
	unsigned long body;
};

/*
 * Returns the address after the patched entry of a function: MOV X9, LR and BL. A landing pad comes
 * before these where the kernel has them; see ftrace_call_adjust().
 */
static inline unsigned long dmns_arch_body(unsigned long function)
{
	if (IS_ENABLED(CONFIG_ARM64_BTI_KERNEL) &&
	    aarch64_insn_is_bti(le32_to_cpup((const __le32 *)function)))
		function += AARCH64_INSN_SIZE;
	return function + 2 * AARCH64_INSN_SIZE;
}

/*
 * Returns what a system call of another ABI has done to namespaces; DMNS_CALL_NATIVE where the number is
 * that of the native call.
 */
static inline enum dmns_call dmns_foreign_call(u32 arch, int number)
{
#ifdef CONFIG_COMPAT
	/* AArch32 has its own numbers for the older calls; from 424 on, all have the same. */
	if (arch != AUDIT_ARCH_AARCH64) {
		switch (number) {
		case 120: /* clone */
		case 337: /* unshare */
			return DMNS_CALL_CREATES;
		case 375: /* setns */
			return DMNS_CALL_ENTERS;
		case 2: /* fork */
		case 190: /* vfork */
			return DMNS_CALL_FORKS;
		case 11: /* execve */
		case 387: /* execveat */
			return DMNS_CALL_EXECS;
		}
		if (number < 424)
			return DMNS_CALL_OTHER;
	}
#endif
	return DMNS_CALL_NATIVE;
}

#define DMNS_NATIVE_NUMBER(number) (number)

#endif

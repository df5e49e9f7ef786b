/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Call-mode trampolines: ftrace calls one at the entry of a function. Models: samples/ftrace/ftrace-direct.c, and
 * what BPF's fentry and fexit generate (arch/x86/net/bpf_jit_comp.c).
 *
 * Assembly, because no Rust or C function returns with its argument registers unchanged; a .S file, because only
 * here do the kernel's macros for IBT, call depth tracking and return thunks exist.
 *
 * SYM_FUNC_START aligns to 16 bytes, and must: ftrace takes an odd address for a jump-mode one.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>

/*
 * Lets Rust look at the arguments of a function, of which none has more than five. On the stack lies, from the
 * top: where the function goes on behind its entry (its body), and where it returns to.
 */
.macro LOOK observer:req
	ENDBR
	pushq	%rbp
	movq	%rsp, %rbp
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%r8		/* now %rsp is a multiple of 16, as the ABI of a call has it */
	call	\observer
	popq	%r8
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	popq	%rbp
.endm

/* Into the function, as if nothing had been. */
.macro CONTINUE
	CALL_DEPTH_ACCOUNT
	RET
.endm

/* The function is observed. */
.macro OBSERVE trampoline:req observer:req
SYM_FUNC_START(\trampoline)
	LOOK \observer
	CONTINUE
SYM_FUNC_END(\trampoline)
.endm

/*
 * The function is surrounded, if the observer returns true: \around gets its first three arguments and, as the fourth, its body,
 * which it calls with dmns_body(); it returns to the function's caller.
 */
.macro SURROUND trampoline:req observer:req around:req
SYM_FUNC_START(\trampoline)
	LOOK \observer
	testb	%al, %al
	jnz	\trampoline\()_around
	CONTINUE
SYM_FUNC_END(\trampoline)

SYM_FUNC_START_LOCAL(\trampoline\()_around)
	popq	%rcx
	jmp	\around
SYM_FUNC_END(\trampoline\()_around)
STACK_FRAME_NON_STANDARD \trampoline\()_around
.endm

/*
 * The function, which returns nothing, is followed by \after, if the observer returns true. Neither may sleep: nothing
 * but RCU-tasks waits for them.
 */
.macro FOLLOW trampoline:req observer:req after:req
SYM_FUNC_START(\trampoline)
	LOOK \observer
	testb	%al, %al
	jnz	\trampoline\()_followed
	CONTINUE
SYM_FUNC_END(\trampoline)

SYM_FUNC_START_LOCAL(\trampoline\()_followed)
	popq	%rax
	pushq	%rbp
	movq	%rsp, %rbp
	call	dmns_body_rax
	popq	%rbp
	jmp	\after
SYM_FUNC_END(\trampoline\()_followed)
STACK_FRAME_NON_STANDARD \trampoline\()_followed
.endm

OBSERVE dmns_trampoline_ns_add, dmns_observe_ns_add
OBSERVE dmns_trampoline_ns_remove, dmns_observe_ns_remove
OBSERVE dmns_trampoline_ns_switch, dmns_observe_ns_switch
OBSERVE dmns_trampoline_audit_exit, dmns_observe_audit_exit
SURROUND dmns_trampoline_dm_ioctl, dmns_observe_dm_ioctl, dmns_around_section
SURROUND dmns_trampoline_clone, dmns_observe_clone, dmns_around_section
SURROUND dmns_trampoline_unshare, dmns_observe_unshare, dmns_around_section
SURROUND dmns_trampoline_mount, dmns_observe_mount, dmns_around_section
SURROUND dmns_trampoline_seccomp, dmns_observe_seccomp, dmns_around_event
SURROUND dmns_trampoline_core_dump, dmns_observe_core_dump, dmns_around_event
SURROUND dmns_trampoline_audit_message, dmns_observe_audit_message, dmns_around_audit_message
SURROUND dmns_trampoline_audit_receive, dmns_observe_audit_receive, dmns_around_audit_receive
SURROUND dmns_trampoline_audit_filter, dmns_observe_audit_filter, dmns_around_audit_filter
FOLLOW dmns_trampoline_audit_entry, dmns_observe_audit_entry, dmns_after_audit_entry

/*
 * unsigned long dmns_body(a1, a2, a3, body): calls a surrounded function behind its patched entry, with its arguments in
 * place and the return address of this call on top of the stack. By a return, since the body does not begin with
 * ENDBR: an indirect jump there would be a fault.
 */
SYM_FUNC_START(dmns_body)
	pushq	%rcx
	CONTINUE
SYM_FUNC_END(dmns_body)
STACK_FRAME_NON_STANDARD dmns_body

/* The same for FOLLOW: the body is in a register that holds no argument. */
SYM_FUNC_START_LOCAL(dmns_body_rax)
	pushq	%rax
	CONTINUE
SYM_FUNC_END(dmns_body_rax)
STACK_FRAME_NON_STANDARD dmns_body_rax

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Call-mode trampolines: ftrace calls one at the entry of an observed function. It keeps the function's
 * arguments, of which none has more than three, lets Rust look at them, and returns into the function.
 *
 * Assembly, because no Rust or C function returns with its argument registers unchanged; a .S file,
 * because only here do the kernel's macros for IBT, call depth tracking and return thunks exist.
 * Model: samples/ftrace/ftrace-direct.c.
 *
 * SYM_FUNC_START aligns to 16 bytes, and must: ftrace takes an odd address for a jump-mode one.
 */
#include <linux/linkage.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>

.macro OBSERVE trampoline:req observer:req lends=0
SYM_FUNC_START(\trampoline)
	ENDBR
	pushq	%rbp
	movq	%rsp, %rbp
	CALL_DEPTH_ACCOUNT
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx		/* now %rsp is a multiple of 16, as the ABI of a call has it */
	call	\observer
	popq	%rdx
	popq	%rsi
	popq	%rdi
.if \lends
	movq	%rax, %rdi	/* another first argument */
.endif
	popq	%rbp
	RET
SYM_FUNC_END(\trampoline)
.endm

OBSERVE dmns_trampoline_ns_add, dmns_observe_ns_add
OBSERVE dmns_trampoline_ns_remove, dmns_observe_ns_remove
OBSERVE dmns_trampoline_ns_switch, dmns_observe_ns_switch
OBSERVE dmns_trampoline_audit_exit, dmns_observe_audit_exit
OBSERVE dmns_trampoline_audit_message, dmns_observe_audit_message, lends=1

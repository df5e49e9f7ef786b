/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trampolines: ftrace calls one at the entry of a function. Models: samples/ftrace/ftrace-direct.c,
 * and the code that BPF's fentry and fexit generate (arch/x86/net/bpf_jit_comp.c).
 *
 * This is assembly, because no Rust or C function returns with its argument registers unchanged. It
 * is a .S file, because the kernel's macros for IBT, call depth tracking and return thunks exist only
 * here.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>

/*
 * Calls a function with the arguments of the hooked one, and keeps them. No hooked function has more
 * than five. From the top, the stack has the address after the entry of the hooked function (its
 * body), or that of a livepatch; and the return address of the hooked function.
 */
.macro SAVE_ARGS_AND_CALL function:req frame
	ENDBR
	pushq	%rbp
	movq	%rsp, %rbp
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%r8		/* now %rsp is a multiple of 16, as the ABI of a call has it */
	.ifnb \frame
	movq	%rsp, %rdi	/* struct dmns_frame */
	.endif
	call	\function
	popq	%r8
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	popq	%rbp
.endm

/* Jumps to the address on top of the stack: by a return, since a body does not begin with ENDBR. */
.macro GO
	CALL_DEPTH_ACCOUNT
	RET
.endm

/* Runs the hook of a function, then the original, or the function that dmns_dispatch() returns. */
SYM_FUNC_START(dmns_trampoline)
	SAVE_ARGS_AND_CALL dmns_dispatch frame
	testq	%rax, %rax
	jnz	dmns_trampoline_taken
	GO
SYM_FUNC_END(dmns_trampoline)

/* A wrapper gets the body as its fourth argument. A replacement (bit 0 set) gets the arguments. */
SYM_FUNC_START_LOCAL(dmns_trampoline_taken)
	testb	$1, %al
	jnz	1f
	popq	%rcx
	pushq	%rax
	GO
1:	decq	%rax
	movq	%rax, (%rsp)
	GO
SYM_FUNC_END(dmns_trampoline_taken)
STACK_FRAME_NON_STANDARD dmns_trampoline_taken

/*
 * Runs an exit hook after a function that returns nothing, if the entry hook returns true. Each system
 * call passes here. Neither hook may sleep: only RCU-tasks waits for them.
 */
SYM_FUNC_START(dmns_trampoline_audit_entry)
	SAVE_ARGS_AND_CALL dmns_entry_audit_entry
	testb	%al, %al
	jnz	dmns_trampoline_audit_entry_exit
	GO
SYM_FUNC_END(dmns_trampoline_audit_entry)

SYM_FUNC_START_LOCAL(dmns_trampoline_audit_entry_exit)
	popq	%rax
	pushq	%rbp
	movq	%rsp, %rbp
	call	dmns_call_rax
	popq	%rbp
	jmp	dmns_exit_audit_entry
SYM_FUNC_END(dmns_trampoline_audit_entry_exit)
STACK_FRAME_NON_STANDARD dmns_trampoline_audit_entry_exit

/*
 * unsigned long dmns_call_original(a1, a2, a3, body): calls a wrapped function after its patched entry,
 * with its arguments in place and the return address of this call on top of the stack.
 */
SYM_FUNC_START(dmns_call_original)
	pushq	%rcx
	GO
SYM_FUNC_END(dmns_call_original)
STACK_FRAME_NON_STANDARD dmns_call_original

/* The same for the exit hook: the body is in a register that holds no argument. */
SYM_FUNC_START_LOCAL(dmns_call_rax)
	pushq	%rax
	GO
SYM_FUNC_END(dmns_call_rax)
STACK_FRAME_NON_STANDARD dmns_call_rax

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
 * Calls an entry hook with the arguments of a function, of which none has more than five, and keeps them. On the stack are,
 * from the top: the address behind the entry of the function (its body), or where a livepatch leads; and the address it
 * returns to.
 */
.macro SAVE_ARGS_AND_CALL entry:req
	ENDBR
	pushq	%rbp
	movq	%rsp, %rbp
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%r8		/* now %rsp is a multiple of 16, as the ABI of a call has it */
	call	\entry
	popq	%r8
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	popq	%rbp
.endm

/* Returns into the function, as if nothing had been. */
.macro RETURN_TO_BODY
	CALL_DEPTH_ACCOUNT
	RET
.endm

/* An entry hook. */
.macro ENTRY_HOOK trampoline:req entry:req
SYM_FUNC_START(\trampoline)
	SAVE_ARGS_AND_CALL \entry
	RETURN_TO_BODY
SYM_FUNC_END(\trampoline)
.endm

/*
 * A wrapped function: if the entry hook returns true, \wrap gets its first three arguments and, as the fourth, its body,
 * which it calls with dmns_call_original(). It returns to the function's caller.
 */
.macro WRAP trampoline:req entry:req wrap:req
SYM_FUNC_START(\trampoline)
	SAVE_ARGS_AND_CALL \entry
	testb	%al, %al
	jnz	\trampoline\()_wrapped
	RETURN_TO_BODY
SYM_FUNC_END(\trampoline)

SYM_FUNC_START_LOCAL(\trampoline\()_wrapped)
	popq	%rcx
	jmp	\wrap
SYM_FUNC_END(\trampoline\()_wrapped)
STACK_FRAME_NON_STANDARD \trampoline\()_wrapped
.endm

/*
 * An exit hook of a function that returns nothing: \exit runs if the entry hook returns true. Neither may sleep: nothing
 * but RCU-tasks waits for them.
 */
.macro EXIT_HOOK trampoline:req entry:req exit:req
SYM_FUNC_START(\trampoline)
	SAVE_ARGS_AND_CALL \entry
	testb	%al, %al
	jnz	\trampoline\()_exit
	RETURN_TO_BODY
SYM_FUNC_END(\trampoline)

SYM_FUNC_START_LOCAL(\trampoline\()_exit)
	popq	%rax
	pushq	%rbp
	movq	%rsp, %rbp
	call	dmns_call_rax
	popq	%rbp
	jmp	\exit
SYM_FUNC_END(\trampoline\()_exit)
STACK_FRAME_NON_STANDARD \trampoline\()_exit
.endm

/* In the order of hooks.rs. */
ENTRY_HOOK dmns_trampoline_ns_add, dmns_entry_ns_add
ENTRY_HOOK dmns_trampoline_ns_remove, dmns_entry_ns_remove
ENTRY_HOOK dmns_trampoline_ns_switch, dmns_entry_ns_switch
ENTRY_HOOK dmns_trampoline_clone, dmns_entry_clone
ENTRY_HOOK dmns_trampoline_audit_exit, dmns_entry_audit_exit
WRAP dmns_trampoline_audit_message, dmns_entry_audit_message, dmns_wrap_audit_message
WRAP dmns_trampoline_seccomp, dmns_entry_seccomp, dmns_wrap_event
WRAP dmns_trampoline_core_dump, dmns_entry_core_dump, dmns_wrap_event
WRAP dmns_trampoline_audit_receive, dmns_entry_audit_receive, dmns_wrap_audit_receive
EXIT_HOOK dmns_trampoline_audit_entry, dmns_entry_audit_entry, dmns_exit_audit_entry
WRAP dmns_trampoline_audit_filter, dmns_entry_audit_filter, dmns_wrap_audit_filter

/*
 * unsigned long dmns_call_original(a1, a2, a3, body): calls a wrapped function behind its patched entry, with its arguments in
 * place and the return address of this call on top of the stack. By a return, since the body does not begin with
 * ENDBR: an indirect jump there would be a fault.
 */
SYM_FUNC_START(dmns_call_original)
	pushq	%rcx
	RETURN_TO_BODY
SYM_FUNC_END(dmns_call_original)
STACK_FRAME_NON_STANDARD dmns_call_original

/* The same for EXIT_HOOK: the body is in a register that holds no argument. */
SYM_FUNC_START_LOCAL(dmns_call_rax)
	pushq	%rax
	RETURN_TO_BODY
SYM_FUNC_END(dmns_call_rax)
STACK_FRAME_NON_STANDARD dmns_call_rax

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trampolines: ftrace jumps to one from the entry of a function. Models: samples/ftrace/ftrace-direct.c,
 * and ftrace_stub_direct_tramp in arch/arm64/kernel/entry-ftrace.S.
 *
 * x0 to x8 have the arguments of the hooked function, x9 its return address, and x30 the address after
 * its patched entry (its body), or that of a livepatch. x9 to x17 are free. The function has not signed
 * its return address yet, nor pushed it on the shadow call stack: its body does that.
 *
 * SYM_FUNC_START begins with a landing pad. A body does not begin with one, so a return goes there. What
 * a compiler made does: a branch by x16 goes there.
 */
#include <linux/linkage.h>
#include <asm/assembler.h>

/*
 * Calls a function with the arguments of the hooked one, and keeps them. No hooked function has more
 * than five. The frame record is that of the hooked function and its caller. Leaves the result in x16,
 * the body in x17, and the return address of the hooked function in x30.
 */
.macro SAVE_ARGS_AND_CALL function:req frame
	stp	x29, x9, [sp, #-64]!
	mov	x29, sp
	stp	x0, x1, [sp, #16]
	stp	x2, x3, [sp, #32]
	stp	x4, x30, [sp, #48]
	.ifnb \frame
	mov	x0, sp			/* struct dmns_frame */
	.endif
	bl	\function
	mov	x16, x0
	ldp	x0, x1, [sp, #16]
	ldp	x2, x3, [sp, #32]
	ldp	x4, x17, [sp, #48]
	ldp	x29, x30, [sp], #64
.endm

/*
 * Runs the hook of a function, then the original, or the function that dmns_dispatch() returns. A
 * wrapper gets the body as its fourth argument. A replacement (bit 0 set) gets the arguments.
 */
SYM_FUNC_START(dmns_trampoline)
	SAVE_ARGS_AND_CALL dmns_dispatch frame
	cbnz	x16, 1f
	ret	x17
1:	tbnz	x16, #0, 2f
	mov	x3, x17
	br	x16
2:	sub	x16, x16, #1
	br	x16
SYM_FUNC_END(dmns_trampoline)

/*
 * Runs an exit hook after a function that returns nothing, if the entry hook returns true. Each system
 * call passes here. Neither hook may sleep: only RCU-tasks waits for them.
 */
SYM_FUNC_START(dmns_trampoline_audit_entry)
	SAVE_ARGS_AND_CALL dmns_entry_audit_entry
	tbnz	w16, #0, 1f
	ret	x17
1:	stp	x29, x30, [sp, #-16]!
	mov	x29, sp
	bl	dmns_call_x17
	ldp	x29, x30, [sp], #16
	b	dmns_exit_audit_entry
SYM_FUNC_END(dmns_trampoline_audit_entry)

/*
 * unsigned long dmns_call_original(a1, a2, a3, body): calls a wrapped function after its patched entry,
 * with its arguments in place. It returns to the caller of this.
 */
SYM_FUNC_START(dmns_call_original)
	ret	x3
SYM_FUNC_END(dmns_call_original)

/* The same for the exit hook: the body is in a register that holds no argument. */
SYM_FUNC_START_LOCAL(dmns_call_x17)
	ret	x17
SYM_FUNC_END(dmns_call_x17)

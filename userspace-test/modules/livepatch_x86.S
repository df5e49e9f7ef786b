/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacements that count and go on in the function itself. Assembly, since they keep all arguments, whatever the function
 * has. They go on by a return, since behind the entry of a function there is no ENDBR.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>

.macro SLOT number:req
SYM_FUNC_START_LOCAL(dmns_livepatch_slot_\number)
	ENDBR
	lock incq dmns_livepatch_calls+8*\number(%rip)
	pushq	dmns_livepatch_bodies+8*\number(%rip)
	CALL_DEPTH_ACCOUNT
	RET
SYM_FUNC_END(dmns_livepatch_slot_\number)
STACK_FRAME_NON_STANDARD dmns_livepatch_slot_\number
.pushsection .rodata
	.quad	dmns_livepatch_slot_\number
.popsection
.endm

.pushsection .rodata
	.balign 8
SYM_DATA_START(dmns_livepatch_slots)
.popsection

.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23
	SLOT \number
.endr

.pushsection .rodata
SYM_DATA_END(dmns_livepatch_slots)
.popsection

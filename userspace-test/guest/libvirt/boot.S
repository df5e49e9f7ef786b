// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The system of a guest in one sector: it ejects what is unplugged, and powers off on the power button. Its commands are
 * bytes on the serial line: 'q' powers off, 'p' panics (pvpanic), 's' reads the second disk, 8 MiB in blocks of 4 KiB. For
 * each block that it cannot read, it prints E and the sector, and D at the end. */
.code16
.globl _start
_start:
	cli
	xor %ax,%ax
	mov %ax,%ds
	mov %ax,%es
	mov %ax,%ss
	mov $0x7c00,%sp
	sti
	mov $0x602,%dx		# PM1 enable: power button
	mov $0x100,%ax
	outw %ax,%dx
	mov $'U',%al
	call putc
	call nl
main:
	xor %eax,%eax		# ACPI PCI hot-plug of 'pc': bus 0
	mov $0xae10,%dx
	outl %eax,%dx
	mov $0xae04,%dx
	inl %dx,%eax
	test %eax,%eax
	jz 1f
	mov $0xae08,%dx
	outl %eax,%dx
	mov $'J',%al
	call putc
	call nl
1:	mov $0x600,%dx		# power button pressed?
	inw %dx,%ax
	test $0x100,%ax
	jz 2f
off:	mov $0x604,%dx
	mov $0x2000,%ax
	outw %ax,%dx
2:	mov $0x3fd,%dx
	inb %dx,%al
	test $1,%al
	jz 5f
	mov $0x3f8,%dx
	inb %dx,%al
	cmp $'q',%al
	je off
	cmp $'s',%al
	je scan
	cmp $'p',%al
	jne 5f
	mov $0x505,%dx
	mov $1,%al
	outb %al,%dx
5:	sti
	hlt			# the timer wakes us
	jmp main
scan:
	movl $0,lba
3:	mov $dap,%si
	mov $0x81,%dl
	mov $0x42,%ah
	movw $8,count
	int $0x13
	jnc 4f
	mov $'E',%al
	call putc
	call hex
4:	addl $8,lba
	cmpl $16384,lba
	jb 3b
	mov $'D',%al
	call putc
	call nl
	jmp main
hex:	mov lba,%ebx
	mov $8,%cx
6:	rol $4,%ebx
	mov %bl,%al
	and $15,%al
	cmp $10,%al
	sbb $0x69,%al
	das
	call putc
	loop 6b
nl:	mov $'\n',%al
putc:	push %ax
	push %dx
	mov $0x3fd,%dx
7:	inb %dx,%al
	test $0x20,%al
	jz 7b
	pop %dx
	pop %ax
	push %dx
	mov $0x3f8,%dx
	outb %al,%dx
	pop %dx
	ret
dap:	.byte 16,0
count:	.word 8
	.word 0x0000,0x1000
lba:	.long 0,0
.org 510
.word 0xaa55

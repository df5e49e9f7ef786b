// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Rust cannot call: macros and inline functions that the kernel crate does not wrap, or not in every
 * version that this module builds for.
 */
#include <linux/llist.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>
#include <asm/syscall.h>
#include <asm/unistd.h>

#include "helpers.h"

/* Whether current is the cause of what runs now: no interrupt of any kind is being served. */
bool dmns_in_task(void)
{
	return in_task();
}

/* Whether nothing that the kernel counts forbids to sleep: no spinlock, no interrupt, no RCU reader. */
bool dmns_may_sleep(void)
{
	return preemptible() && !rcu_preempt_depth();
}

/* Readers are the handlers of attached functions. The module loader initialises and cleans it up. */
DEFINE_STATIC_SRCU(dmns_handlers);

int dmns_handler_begin(void)
{
	return srcu_read_lock(&dmns_handlers);
}

void dmns_handler_end(int index)
{
	srcu_read_unlock(&dmns_handlers, index);
}

void dmns_handlers_wait(void)
{
	synchronize_srcu(&dmns_handlers);
}

/*
 * What the system call that current is in, or leaves, may do to namespaces. A 32-bit program has numbers of its
 * own for the older ones.
 */
enum dmns_call dmns_call(void)
{
	int nr = syscall_get_nr(current, task_pt_regs(current));

	/* A worker of io_uring is in no system call of its own. */
	if (current->flags & (PF_KTHREAD | PF_USER_WORKER))
		return DMNS_CALL_OTHER;
#ifdef CONFIG_IA32_EMULATION
	if (in_ia32_syscall())
		nr = nr == 120 ? __NR_clone : nr == 310 ? __NR_unshare : nr == 346 ? __NR_setns :
		     nr < 424 ? -1 : nr;
#endif
	switch (nr) {
	case __NR_clone:
	case __NR_clone3:
	case __NR_unshare:
	case __NR_open_tree:
	case __NR_fsmount:
		return DMNS_CALL_MAKES;
	case __NR_setns:
		return DMNS_CALL_ENTERS;
	default:
		return DMNS_CALL_OTHER;
	}
}

/* Whether the system call that current leaves has failed. */
bool dmns_call_failed(void)
{
	return syscall_get_error(current, task_pt_regs(current));
}

void dmns_lock_task(struct task_struct *task)
{
	task_lock(task);
}

void dmns_unlock_task(struct task_struct *task)
{
	task_unlock(task);
}

/* Records that wait for a worker to send them: lock-free, since interrupts add to it. */
static LLIST_HEAD(dmns_kept);
static DECLARE_WORK(dmns_work, dmns_send_kept);

void dmns_keep(struct llist_node *node)
{
	llist_add(node, &dmns_kept);
	queue_work(system_dfl_wq, &dmns_work);
}

/* All of them, the oldest first. */
struct llist_node *dmns_take_kept(void)
{
	return llist_reverse_order(llist_del_all(&dmns_kept));
}

void dmns_flush_kept(void)
{
	flush_work(&dmns_work);
}

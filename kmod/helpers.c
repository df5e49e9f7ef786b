// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Rust cannot call or see: macros and inline functions that the kernel crate does not wrap, or not in every
 * version that this module builds for, and audit's private structure.
 */
#include <linux/audit.h>
#include <linux/cgroup.h>
#include <linux/init_task.h>
#include <linux/ipc_namespace.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/preempt.h>
#include <linux/proc_ns.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>
#include <linux/srcu.h>
#include <linux/timer.h>
#include <linux/user_namespace.h>
#include <linux/workqueue.h>
#include <asm/unistd.h>

#include <kernel/audit.h>

#include "helpers.h"

/* That of Cargo.toml: /sys/module/dmns_audit/version, which the tool compares with its own. */
MODULE_VERSION("0.1.0");

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

/* Keeps this module loaded until the next boot. */
bool dmns_pin(void)
{
	return try_module_get(THIS_MODULE);
}

/*
 * The path of the control group of current in the hierarchy of version 2, as its root sees it. Takes no lock: nodes of that
 * hierarchy keep their parents (KERNFS_ROOT_INVARIANT_PARENT), and RCU keeps the group of a task that is moved meanwhile.
 */
ssize_t dmns_cgroup_path(char *buffer, size_t size)
{
#ifdef CONFIG_CGROUPS
	guard(rcu)();
	return cgroup_path(task_dfl_cgroup(current), buffer, size);
#else
	return -ENOENT;
#endif
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
 * The event of current: its audit context. Only current itself changes it.
 *
 * struct audit_context is private to kernel/. This module is built from the source of the kernel that loads it,
 * so it knows the layout.
 */

/*
 * What the system call of the event, which is about to be written, has done to namespaces.
 *
 * By the copy of the call's number that audit took when all who may change it had had their turn: what a tracer
 * writes into the registers later decides nothing here. An operation of io_uring has no number.
 */
enum dmns_call dmns_event_call(void)
{
	const struct audit_context *ctx = audit_context();
	bool succeeded = ctx->return_valid && !ctx->return_code;

	if (ctx->context != AUDIT_CTX_SYSCALL)
		return DMNS_CALL_OTHER;
#ifdef CONFIG_IA32_EMULATION
	/* Its own numbers for the older calls; from 424 on, all have the same. */
	if (ctx->arch == AUDIT_ARCH_I386) {
		switch (ctx->major) {
		case 120: /* clone */
		case 310: /* unshare */
			return DMNS_CALL_MAKES;
		case 346: /* setns */
			return succeeded ? DMNS_CALL_ENTERS : DMNS_CALL_OTHER;
		case 2: /* fork */
		case 190: /* vfork */
			return DMNS_CALL_FORKS;
		case 11: /* execve */
		case 358: /* execveat */
			return DMNS_CALL_EXECS;
		}
		if (ctx->major < 424)
			return DMNS_CALL_OTHER;
	}
#endif
	/* x32 has a bit of its own in the number. */
	switch (ctx->major & ~0x40000000) {
	case __NR_clone:
	case __NR_clone3:
	case __NR_unshare:
	case __NR_open_tree:
	case __NR_open_tree_attr:
	case __NR_fsmount:
		return DMNS_CALL_MAKES;
	case __NR_setns:
		return succeeded ? DMNS_CALL_ENTERS : DMNS_CALL_OTHER;
	case __NR_fork:
	case __NR_vfork:
		return DMNS_CALL_FORKS;
	case __NR_execve:
	case __NR_execveat:
		return DMNS_CALL_EXECS;
	default:
		return DMNS_CALL_OTHER;
	}
}

/* Makes audit write the event of current's system call, as a record of the event would: auditsc_get_stamp(). */
void dmns_event_record(void)
{
	struct audit_context *ctx = audit_context();

	if (!ctx || ctx->context == AUDIT_CTX_UNUSED)
		return;
	ctx->dummy = 0;
	if (!ctx->prio) {
		ctx->prio = 1;
		ctx->current_state = AUDIT_STATE_RECORD;
	}
}

/*
 * Outside of any event, begins one: what current emits until dmns_event_end() shares a serial number. Returns
 * whether it did. As __audit_syscall_entry() and audit_reset_context().
 */
bool dmns_event_begin(void)
{
	struct audit_context *ctx = audit_context();

	if (!ctx || ctx->context != AUDIT_CTX_UNUSED)
		return false;
	ctx->context = AUDIT_CTX_SYSCALL;
	ctx->dummy = 0;
	ctx->stamp.serial = 0;
	ktime_get_coarse_real_ts64(&ctx->stamp.ctime);
	return true;
}

void dmns_event_end(void)
{
	struct audit_context *ctx = audit_context();

	ctx->context = AUDIT_CTX_UNUSED;
	ctx->stamp = (struct audit_stamp){};
	ctx->current_state = ctx->state;
	ctx->prio = ctx->state == AUDIT_STATE_RECORD ? ~0ULL : 0;
}

/*
 * The id of the user namespace that owns @ns, which is on its way into the tree, in it, or was when the caller became
 * an RCU reader: it holds a reference to its owner until it is removed, and the owner is freed after a grace period.
 */
u64 dmns_owner(const struct ns_common *ns)
{
	const struct user_namespace *owner = ns->ops ? ns->ops->owner((struct ns_common *)ns) : NULL;

	return owner ? READ_ONCE(owner->ns.ns_id) : 0;
}

/*
 * Copies the kernel's list of all namespaces to @found, as far as there is @room for. Returns how many there are.
 *
 * Its head is private to kernel/nstree.c. But the list is in the order of ids, and the initial ipc namespace has the
 * first one and never leaves: what precedes it is the head.
 *
 * Who is removed meanwhile keeps its links, and is freed after a grace period, by each kind of namespace. Its ns_id does
 * not: the rcu_head by which it is freed shares its place. So what was read counts only if the namespace is still in
 * the tree afterwards; else its removal has begun, and who observes __ns_tree_remove() has seen it.
 */
size_t dmns_namespaces(struct dmns_namespace *found, size_t room)
{
	struct ns_common *first = to_ns_common(init_task.nsproxy->ipc_ns);
	struct list_head *head = first->ns_unified_node.ns_list_entry.prev;
	struct list_head *entry;
	size_t count = 0;

	BUILD_BUG_ON(IPC_NS_INIT_ID != 1);
	rcu_read_lock();
	for (entry = READ_ONCE(head->next); entry != head; entry = READ_ONCE(entry->next)) {
		const struct ns_common *ns =
			container_of(entry, struct ns_common, ns_unified_node.ns_list_entry);
		const struct dmns_namespace this = {
			.id = READ_ONCE(ns->ns_id),
			.owner = dmns_owner(ns),
			.type = ns->ns_type,
			.inum = ns->inum,
		};

		/* Pairs with write_sequnlock() in __ns_tree_remove(), after which the rcu_head is written. */
		smp_rmb();
		if (READ_ONCE(ns->ns_unified_node.ns_node.__rb_parent_color) ==
		    (unsigned long)&ns->ns_unified_node.ns_node)
			continue;
		if (count < room)
			found[count] = this;
		count++;
	}
	rcu_read_unlock();
	return count;
}

void dmns_lock_task(struct task_struct *task)
{
	task_lock(task);
}

void dmns_unlock_task(struct task_struct *task)
{
	task_unlock(task);
}

/* A task that may wait for room in the backlog. */
struct dmns_waiter {
	struct timer_list timer;
	struct task_struct *task;
};

static void dmns_look_again(struct timer_list *timer)
{
	struct dmns_waiter *waiter = timer_container_of(waiter, timer, timer);

	wake_up_process(waiter->task);
	mod_timer(timer, jiffies + HZ);
}

/*
 * audit_log_start() where it may wait. It looks at the queue, and then joins those who wait: if kauditd empties the
 * queue in between, it wakes nobody, and until somebody else emits a record, or backlog_wait_time is over (240 s with
 * Debian's auditd), current would sleep. So current is woken each second, and audit_log_start() looks again.
 */
struct audit_buffer *dmns_log_start_waiting(struct audit_context *ctx, int type)
{
	struct dmns_waiter waiter = { .task = current };
	struct audit_buffer *buffer;

	timer_setup_on_stack(&waiter.timer, dmns_look_again, 0);
	mod_timer(&waiter.timer, jiffies + HZ);
	buffer = audit_log_start(ctx, GFP_KERNEL, type);
	timer_delete_sync(&waiter.timer);
	timer_destroy_on_stack(&waiter.timer);
	return buffer;
}

/*
 * The worker that emits deferred records, one at a time and in order. It may wait for auditd, so it has a queue of
 * its own, with a rescuer for when memory is short. It begins with the next tick: what is deferred until then, it emits
 * together, and kauditd and auditd take it together.
 */
static struct workqueue_struct *dmns_queue;
static DECLARE_DELAYED_WORK(dmns_work, dmns_emit_deferred);

bool dmns_worker_start(void)
{
	dmns_queue = alloc_ordered_workqueue("dmns_audit", WQ_MEM_RECLAIM);
	return dmns_queue;
}

void dmns_worker_wake(void)
{
	queue_delayed_work(dmns_queue, &dmns_work, 1);
}

void dmns_worker_flush(void)
{
	flush_delayed_work(&dmns_work);
}

void dmns_worker_stop(void)
{
	destroy_workqueue(dmns_queue);
}

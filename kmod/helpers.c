// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Rust cannot call or see: macros and inline functions that the kernel crate does not wrap, or
 * not in every version that this module builds for, and audit's private structure.
 */
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/ftrace.h>
#include <linux/init_task.h>
#include <linux/ipc_namespace.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/preempt.h>
#include <linux/proc_ns.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/sort.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <linux/utsname.h>
#include <linux/workqueue.h>
#include <asm/unistd.h>
#if __has_include(<generated/utsversion.h>)
#include <generated/utsversion.h>
#endif

#include <fs/mount.h>
#include <kernel/audit.h>

#include "helpers.h"
#include "arch.h"

/* That of Cargo.toml: /sys/module/dmns_audit/version, which the tool compares with its own. */
MODULE_VERSION("0.2.0");

/* Returns whether current causes what runs now: no interrupt of any kind is being served. */
bool dmns_in_task(void)
{
	return in_task();
}

/* Returns whether nothing that the kernel counts forbids to sleep: spinlock, interrupt, RCU reader. */
bool dmns_may_sleep(void)
{
	return preemptible() && !rcu_preempt_depth();
}

/* Returns whether current returns to user space: it is no kernel thread, this is no interrupt. */
bool dmns_returns_to_user(void)
{
	return in_task() && !(current->flags & (PF_KTHREAD | PF_EXITING));
}

bool dmns_module_get(void)
{
	return try_module_get(THIS_MODULE);
}

void dmns_module_put(void)
{
	module_put(THIS_MODULE);
}

/*
 * The build of the kernel that this module was built for, and of the one that runs: number and time
 * of the build. A tree that was prepared and not built does not have the first, unless
 * scripts/build/uts-version.sh wrote it.
 */
const char *dmns_built_for(void)
{
#ifdef UTS_VERSION
	return UTS_VERSION;
#else
	return dmns_running();
#endif
}

const char *dmns_running(void)
{
	return init_uts_ns.name.version;
}

/*
 * Returns whether current may change audit's configuration by a message. Does not set PF_SUPERPRIV, which capable()
 * does.
 */
bool dmns_has_audit_control(void)
{
	const struct cred *cred = current_cred();

	return cred->user_ns == &init_user_ns && task_active_pid_ns(current) == &init_pid_ns &&
	       cap_raised(cred->cap_effective, CAP_AUDIT_CONTROL);
}

/*
 * A livepatch and a direct call share a function if the owner of the call agrees. In C: ftrace calls this by a pointer,
 * and kCFI distinguishes the enum from the integer that it is in Rust.
 */
int dmns_share(struct ftrace_ops *ops, unsigned long ip, enum ftrace_ops_cmd cmd)
{
	return dmns_livepatched(ip, cmd != FTRACE_OPS_CMD_DISABLE_SHARE_IPMODIFY_PEER);
}

/* Returns the address after the patched entry of a function, which is where the body begins. */
unsigned long dmns_body(unsigned long function)
{
	return dmns_arch_body(function);
}

/*
 * The path of the control group of current in the hierarchy of version 2, as its root sees it.
 * Takes no lock: nodes of that hierarchy keep their parents (KERNFS_ROOT_INVARIANT_PARENT), and RCU
 * keeps the group of a task that is moved meanwhile.
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

/*
 * Readers are the handlers of attached functions, while they do not wait for audit. The module loader initialises it
 * and cleans it up.
 */
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
 * struct audit_context is private to kernel/. This module is built from the source of the kernel
 * that loads it, so it knows the layout.
 */

static enum dmns_call dmns_native_call(int number)
{
	switch (number) {
	case __NR_clone:
	case __NR_clone3:
	case __NR_unshare:
	case __NR_open_tree:
	case __NR_open_tree_attr:
	case __NR_fsmount:
		return DMNS_CALL_CREATES;
	case __NR_setns:
		return DMNS_CALL_ENTERS;
#ifdef __NR_fork
	case __NR_fork:
	case __NR_vfork:
		return DMNS_CALL_FORKS;
#endif
	case __NR_execve:
	case __NR_execveat:
		return DMNS_CALL_EXECS;
	default:
		return DMNS_CALL_OTHER;
	}
}

/*
 * What the system call of the event, which is about to be written, has done to namespaces.
 *
 * Uses audit's copy of the call's number, which audit takes after ptrace and seccomp may have
 * changed it. Later writes of a tracer to the registers have no effect here. An operation of
 * io_uring has no number.
 */
enum dmns_call dmns_event_call(void)
{
	const struct audit_context *ctx = audit_context();
	enum dmns_call call;

	if (ctx->context != AUDIT_CTX_SYSCALL)
		return DMNS_CALL_OTHER;
	call = dmns_foreign_call(ctx->arch, ctx->major);
	if (call == DMNS_CALL_NATIVE)
		call = dmns_native_call(DMNS_NATIVE_NUMBER(ctx->major));
	if (call == DMNS_CALL_ENTERS && (!ctx->return_valid || ctx->return_code))
		return DMNS_CALL_OTHER;
	return call;
}

/* The stamp of the event that current is in. Returns whether it is in one. */
bool dmns_event_stamp(struct dmns_stamp *stamp)
{
	const struct audit_context *ctx = audit_context();

	if (!ctx || ctx->context == AUDIT_CTX_UNUSED)
		return false;
	*stamp = (struct dmns_stamp){
		.sec = ctx->stamp.ctime.tv_sec,
		.nsec = ctx->stamp.ctime.tv_nsec,
		.serial = ctx->stamp.serial,
	};
	return true;
}

/* Gives the event of current the serial number of a record emitted for it. Makes audit write it. */
void dmns_event_adopt(unsigned int serial)
{
	struct audit_context *ctx = audit_context();

	if (!ctx || ctx->context == AUDIT_CTX_UNUSED)
		return;
	if (!ctx->stamp.serial)
		ctx->stamp.serial = serial;
	if (ctx->stamp.serial == serial)
		dmns_event_record();
}

/*
 * The event of a record that a worker emits. audit_log_start() takes the stamp out of it, and gives
 * it a serial number where it has none. Nothing else looks at it.
 */
static struct audit_context dmns_worker_events[DMNS_WORKERS];

struct audit_context *dmns_worker_event(unsigned int worker, const struct dmns_stamp *stamp)
{
	struct audit_context *ctx = &dmns_worker_events[worker];

	ctx->context = AUDIT_CTX_SYSCALL;
	ctx->stamp = (struct audit_stamp){
		.ctime = { .tv_sec = stamp->sec, .tv_nsec = stamp->nsec },
		.serial = stamp->serial,
	};
	return ctx;
}

unsigned int dmns_worker_event_serial(const struct audit_context *ctx)
{
	return ctx->stamp.serial;
}

/* Makes audit write the event of current, as a record of the event would: auditsc_get_stamp(). */
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
 * Marks the event of current: it has pending records. audit writes this field only in
 * audit_log_exit(), before it reads it, and clears it with the event.
 */
#define DMNS_MARK 0x646d6e73UL

void dmns_event_mark(void)
{
	struct audit_context *ctx = audit_context();

	if (ctx && ctx->context != AUDIT_CTX_UNUSED)
		ctx->personality = DMNS_MARK;
}

bool dmns_event_marked(void)
{
	const struct audit_context *ctx = audit_context();

	return ctx && ctx->context != AUDIT_CTX_UNUSED && ctx->personality == DMNS_MARK;
}

/*
 * Outside of any event, begins one: what current emits until dmns_event_end() shares a serial
 * number. Returns whether it did. As __audit_syscall_entry() and audit_reset_context().
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
	ctx->personality = 0;
	ctx->current_state = ctx->state;
	ctx->prio = ctx->state == AUDIT_STATE_RECORD ? ~0ULL : 0;
}

/*
 * The id of the user namespace that owns @ns, which is on its way into the tree, in it, or was when
 * the caller became an RCU reader: it holds a reference to its owner until it is removed, and the
 * owner is freed after a grace period.
 */
u64 dmns_owner(const struct ns_common *ns)
{
	const struct user_namespace *owner = ns->ops ? ns->ops->owner((struct ns_common *)ns) : NULL;

	return owner ? READ_ONCE(owner->ns.ns_id) : 0;
}

/*
 * The user that is charged with the records of @ns: the creator of the outermost user namespace
 * that it is in, or is; DMNS_USER_HOST for a namespace that is in none. Where root created that, as
 * container engines do, the user who is root inside.
 */
uid_t dmns_user(const struct ns_common *ns)
{
	const struct user_namespace *user_ns;
	kuid_t user;

	if (ns->ns_type == CLONE_NEWUSER)
		user_ns = container_of(ns, struct user_namespace, ns);
	else
		user_ns = ns->ops ? ns->ops->owner((struct ns_common *)ns) : NULL;
	if (!user_ns || user_ns == &init_user_ns)
		return DMNS_USER_HOST;
	while (user_ns->parent && user_ns->parent != &init_user_ns)
		user_ns = user_ns->parent;
	user = user_ns->owner;
	if (uid_eq(user, GLOBAL_ROOT_UID)) {
		kuid_t inside = make_kuid((struct user_namespace *)user_ns, 0);

		if (uid_valid(inside))
			user = inside;
	}
	return __kuid_val(user);
}

/*
 * Copies the kernel's list of all namespaces to @found, as far as there is @room for. Returns how
 * many there are.
 *
 * Its head is private to kernel/nstree.c. But the list is in the order of ids, and the initial ipc
 * namespace has the first one and never leaves: what precedes it is the head.
 *
 * A namespace that is removed meanwhile keeps its links, and is freed after a grace period, by each
 * kind of namespace. Up to 7.2 its ns_id shares its place with the rcu_head by which it is freed.
 * So what was read counts only if the namespace is still in the tree afterwards; else the hook of
 * __ns_tree_remove() has seen it.
 */
size_t dmns_namespaces(struct dmns_namespace *found, size_t room)
{
	struct ns_common *first = to_ns_common(init_task.nsproxy->ipc_ns);
	struct list_head *head = first->ns_unified_node.ns_list_entry.prev;
	struct list_head *entry;
	size_t count = 0;

	BUILD_BUG_ON(IPC_NS_INIT_ID != 1);
	/* task.rs takes one for the other. */
	BUILD_BUG_ON(offsetof(struct mnt_namespace, ns) != 0);
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

static int dmns_compare_ids(const void *one, const void *other)
{
	const struct dmns_namespace *a = one, *b = other;

	return a->id < b->id ? -1 : a->id > b->id;
}

void dmns_sort_by_id(struct dmns_namespace *all, size_t count)
{
	sort(all, count, sizeof(*all), dmns_compare_ids, NULL);
}

/* The tasks that may wait for room in the backlog, and their number. */
struct dmns_waiter {
	struct list_head node;
	struct task_struct *task;
};

/* The most that are woken at a time: the timer is an interrupt. */
#define DMNS_MAX_WOKEN 64U

static LIST_HEAD(dmns_waiters);
static unsigned int dmns_waiting;
static DEFINE_SPINLOCK(dmns_waiters_lock);

static void dmns_wake_waiters(struct timer_list *timer)
{
	unsigned int woken = 0;

	spin_lock(&dmns_waiters_lock);
	for (; woken < min(dmns_waiting, DMNS_MAX_WOKEN); woken++) {
		wake_up_process(list_first_entry(&dmns_waiters, struct dmns_waiter, node)->task);
		list_rotate_left(&dmns_waiters);
	}
	/* Each about once a second. */
	if (dmns_waiting)
		mod_timer(timer, jiffies + HZ * woken / dmns_waiting);
	spin_unlock(&dmns_waiters_lock);
}

static DEFINE_TIMER(dmns_waiters_timer, dmns_wake_waiters);

/*
 * Calls audit_log_start() where it may wait. audit_log_start() checks the queue, and then joins the
 * waiters. If kauditd empties the queue in between, it wakes no task. current would sleep until
 * another task emits a record, or until backlog_wait_time has passed (240 s with Debian's auditd).
 * So a timer wakes current each second. One timer serves all tasks, and stops by itself: to start
 * and stop one for each record costs more than the text of the record.
 */
struct audit_buffer *dmns_log_start_waiting(struct audit_context *ctx, int type)
{
	struct dmns_waiter waiter = { .task = current };
	struct audit_buffer *buffer;

	spin_lock_bh(&dmns_waiters_lock);
	list_add_tail(&waiter.node, &dmns_waiters);
	if (!dmns_waiting++)
		timer_reduce(&dmns_waiters_timer, jiffies + HZ);
	spin_unlock_bh(&dmns_waiters_lock);
	buffer = audit_log_start(ctx, GFP_KERNEL, type);
	spin_lock_bh(&dmns_waiters_lock);
	list_del(&waiter.node);
	dmns_waiting--;
	spin_unlock_bh(&dmns_waiters_lock);
	return buffer;
}

/*
 * The workers that emit deferred records, each one at a time and in order. They may wait for
 * auditd, so each has a queue of its own, with a rescuer for when memory is short.
 */
static struct workqueue_struct *dmns_queues[DMNS_WORKERS];
static DECLARE_DELAYED_WORK(dmns_dm_work, dmns_emit_dm);
static DECLARE_DELAYED_WORK(dmns_ns_work, dmns_emit_ns);
static DECLARE_DELAYED_WORK(dmns_age_work, dmns_defer_old);

static struct delayed_work *const dmns_works[DMNS_WORKERS] = {
	[DMNS_WORKER_DM] = &dmns_dm_work,
	[DMNS_WORKER_NS] = &dmns_ns_work,
};

bool dmns_workers_start(void)
{
	dmns_queues[DMNS_WORKER_DM] = alloc_ordered_workqueue("dmns_audit_dm", WQ_MEM_RECLAIM);
	dmns_queues[DMNS_WORKER_NS] = alloc_ordered_workqueue("dmns_audit_ns", WQ_MEM_RECLAIM);
	if (dmns_queues[DMNS_WORKER_DM] && dmns_queues[DMNS_WORKER_NS])
		return true;
	dmns_workers_stop();
	return false;
}

void dmns_worker_wake(unsigned int worker, unsigned long delay)
{
	if (dmns_queues[worker])
		queue_delayed_work(dmns_queues[worker], dmns_works[worker], delay);
}

/*
 * Pending records are checked in a second. Not by one of the workers: these may wait for auditd.
 */
void dmns_age_soon(void)
{
	schedule_delayed_work(&dmns_age_work, HZ);
}

void dmns_age_stop(void)
{
	cancel_delayed_work_sync(&dmns_age_work);
	/* It may be reading the baseline, and with it the pending records. */
	flush_delayed_work(&dmns_ns_work);
}

/* Lets the workers emit the deferred records, and ends them. No record is deferred any more. */
void dmns_workers_stop(void)
{
	for (int worker = 0; worker < DMNS_WORKERS; worker++) {
		struct workqueue_struct *queue = dmns_queues[worker];

		if (!queue)
			continue;
		/* A work that has queued itself for later runs at once. */
		for (int run = 0; run < 2; run++) {
			mod_delayed_work(queue, dmns_works[worker], 0);
			flush_delayed_work(dmns_works[worker]);
		}
		cancel_delayed_work_sync(dmns_works[worker]);
		dmns_queues[worker] = NULL;
		destroy_workqueue(queue);
	}
	timer_shutdown_sync(&dmns_waiters_timer);
}

/* Guards the first deferred record of an owner (share.rs). Taken in any context, for some loads. */
static DEFINE_RAW_SPINLOCK(dmns_owners);

unsigned long dmns_owners_lock(void)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&dmns_owners, flags);
	return flags;
}

void dmns_owners_unlock(unsigned long flags)
{
	raw_spin_unlock_irqrestore(&dmns_owners, flags);
}

/* The files of control.rs: inode->i_private has the number of the file. */
static int dmns_file_open(struct inode *inode, struct file *file)
{
	return single_open(file, dmns_control_show, inode->i_private);
}

static ssize_t dmns_file_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	char *text;
	int error;

	if (!size || size > PAGE_SIZE)
		return -EINVAL;
	text = memdup_user_nul(from, size);
	if (IS_ERR(text))
		return PTR_ERR(text);
	error = dmns_control_store((unsigned long)file_inode(file)->i_private, text, size);
	kfree(text);
	return error ?: size;
}

const struct file_operations dmns_file_operations = {
	.owner = THIS_MODULE,
	.open = dmns_file_open,
	.read = seq_read,
	.write = dmns_file_write,
	.llseek = seq_lseek,
	.release = single_release,
};

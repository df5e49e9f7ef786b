/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _DMNS_HELPERS_H
#define _DMNS_HELPERS_H

#include <linux/ftrace.h>
#include <linux/types.h>

struct audit_buffer;
struct audit_context;
struct file_operations;
struct ns_common;
struct seq_file;
struct work_struct;

/* The context that code runs in. */
bool dmns_in_task(void);
bool dmns_may_sleep(void);
bool dmns_returns_to_user(void);

/* The module, and the kernel that it is for. */
bool dmns_module_get(void);
void dmns_module_put(void);
const char *dmns_built_for(void);
const char *dmns_running(void);

bool dmns_has_audit_control(void);

/* The handlers of attached functions. */
int dmns_handler_begin(void);
void dmns_handler_end(int index);
void dmns_handlers_wait(void);

int dmns_share(struct ftrace_ops *ops, unsigned long ip, enum ftrace_ops_cmd cmd);
unsigned long dmns_body(unsigned long function);

/* The effect of a system call on namespaces. */
enum dmns_call {
	DMNS_CALL_OTHER,
	DMNS_CALL_CREATES,
	/* A setns() that succeeded. */
	DMNS_CALL_ENTERS,
	DMNS_CALL_FORKS,
	DMNS_CALL_EXECS,
	/* One of the processor's own ABI; see arch/. */
	DMNS_CALL_NATIVE,
};

/* The stamp of an event: its time, and its serial number; 0 before its first record. */
struct dmns_stamp {
	s64 sec;
	u32 nsec;
	u32 serial;
};

/* The audit context of current: its event. */
enum dmns_call dmns_event_call(void);
void dmns_event_record(void);
void dmns_event_mark(void);
bool dmns_event_marked(void);
bool dmns_event_begin(void);
void dmns_event_end(void);
bool dmns_event_stamp(struct dmns_stamp *stamp);
void dmns_event_adopt(unsigned int serial);

struct audit_buffer *dmns_log_start_waiting(struct audit_context *ctx, int type);

/* A namespace as the kernel's list has it. */
struct dmns_namespace {
	u64 id;
	/* The id of the user namespace that owns it; 0 for the initial user namespace. */
	u64 owner;
	u32 type;
	u32 inum;
};

size_t dmns_namespaces(struct dmns_namespace *found, size_t room);
void dmns_sort_by_id(struct dmns_namespace *all, size_t count);
u64 dmns_owner(const struct ns_common *ns);
/* No uid: the user of namespaces that are in the initial user namespace alone. */
#define DMNS_USER_HOST 0xffffffffU

uid_t dmns_user(const struct ns_common *ns);

/* The path of the control group of current: its length, or an error. */
ssize_t dmns_cgroup_path(char *buffer, size_t size);

/* The workers that emit deferred records, a class each. */
enum dmns_worker {
	DMNS_WORKER_DM,
	DMNS_WORKER_NS,
	DMNS_WORKERS,
};

bool dmns_workers_start(void);
void dmns_worker_wake(unsigned int worker, unsigned long delay);
void dmns_age_soon(void);
void dmns_age_stop(void);
void dmns_workers_stop(void);
struct audit_context *dmns_worker_event(unsigned int worker, const struct dmns_stamp *stamp);
unsigned int dmns_worker_event_serial(const struct audit_context *ctx);

unsigned long dmns_owners_lock(void);
void dmns_owners_unlock(unsigned long flags);

/* In worker.rs. */
void dmns_emit_dm(struct work_struct *work);
void dmns_emit_ns(struct work_struct *work);
void dmns_defer_old(struct work_struct *work);

/* The files in securityfs. */
extern const struct file_operations dmns_file_operations;

/* In control.rs. */
int dmns_control_show(struct seq_file *m, void *unused);
int dmns_control_store(unsigned long file, const u8 *text, size_t length);

struct dmns_frame;

/* In arch/. */
void dmns_trampoline(void);
unsigned long dmns_call_original(unsigned long a1, unsigned long a2, unsigned long a3,
				 const void *body);

/* In ftrace.rs, called by the trampoline, and by dmns_share(). */
unsigned long dmns_dispatch(const struct dmns_frame *frame);
int dmns_livepatched(unsigned long ip, bool comes);

/* In hooks/filter.rs, called by the trampoline. */
bool dmns_entry_audit_entry(void);
void dmns_exit_audit_entry(void);

#endif

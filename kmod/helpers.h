/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _DMNS_HELPERS_H
#define _DMNS_HELPERS_H

#include <linux/types.h>

struct audit_buffer;
struct audit_context;
struct file;
struct ns_common;
struct nsproxy;
struct task_struct;
struct work_struct;

/* The context that code runs in. */
bool dmns_in_task(void);
bool dmns_may_sleep(void);

bool dmns_pin(void);

/* The handlers of attached functions. */
int dmns_handler_begin(void);
void dmns_handler_end(int index);
void dmns_handlers_wait(void);

/* What a system call does to namespaces. */
enum dmns_call {
	DMNS_CALL_OTHER,
	DMNS_CALL_MAKES,
	DMNS_CALL_ENTERS,
	DMNS_CALL_FORKS,
	DMNS_CALL_EXECS,
};

/* The audit context of current: its event. */
enum dmns_call dmns_event_call(void);
void dmns_event_record(void);
bool dmns_event_begin(void);
void dmns_event_end(void);

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
u64 dmns_owner(const struct ns_common *ns);

void dmns_lock_task(struct task_struct *task);
void dmns_unlock_task(struct task_struct *task);

/* The path of the control group of current: its length, or an error. */
ssize_t dmns_cgroup_path(char *buffer, size_t size);

/* The worker that emits deferred records. */
bool dmns_worker_start(void);
void dmns_worker_wake(void);
void dmns_worker_flush(void);
void dmns_worker_stop(void);

/* In audit/deferred.rs. */
void dmns_emit_deferred(struct work_struct *work);

/* In trampoline_*.S. */
unsigned long dmns_body(unsigned long a1, unsigned long a2, unsigned long a3, const void *body);

/* In attach/, called by the trampolines. */
void dmns_observe_ns_add(const struct ns_common *ns);
void dmns_observe_ns_remove(const struct ns_common *ns);
void dmns_observe_ns_switch(struct task_struct *task, const struct nsproxy *proxy);
void dmns_observe_audit_exit(void);
bool dmns_observe_dm_ioctl(struct file *file, unsigned int command);
bool dmns_observe_clone(u64 flags);
bool dmns_observe_unshare(unsigned long flags);
bool dmns_observe_mount(void);
bool dmns_observe_audit_message(struct audit_context *context);
bool dmns_observe_seccomp(void);
bool dmns_observe_core_dump(long signal);
bool dmns_observe_audit_receive(void);
bool dmns_observe_audit_entry(void);
bool dmns_observe_audit_filter(int number, unsigned int list);
unsigned long dmns_around_section(unsigned long a1, unsigned long a2, unsigned long a3, const void *body);
unsigned long dmns_around_event(unsigned long a1, unsigned long a2, unsigned long a3, const void *body);
unsigned long dmns_around_audit_message(unsigned long a1, unsigned long a2, unsigned long a3, const void *body);
int dmns_around_audit_filter(void);
void dmns_after_audit_entry(void);
unsigned long dmns_around_audit_receive(unsigned long a1, unsigned long a2, unsigned long a3, const void *body);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _DMNS_HELPERS_H
#define _DMNS_HELPERS_H

#include <linux/types.h>

struct llist_node;
struct task_struct;
struct work_struct;

bool dmns_in_task(void);
bool dmns_may_sleep(void);

int dmns_handler_begin(void);
void dmns_handler_end(int index);
void dmns_handlers_wait(void);

/* What a system call does to namespaces. */
enum dmns_call {
	DMNS_CALL_OTHER,
	DMNS_CALL_MAKES,
	DMNS_CALL_ENTERS,
};

enum dmns_call dmns_call(void);
bool dmns_call_failed(void);
void dmns_lock_task(struct task_struct *task);
void dmns_unlock_task(struct task_struct *task);
void dmns_keep(struct llist_node *node);
struct llist_node *dmns_take_kept(void);
void dmns_flush_kept(void);

/* In audit.rs. */
void dmns_send_kept(struct work_struct *work);

#endif

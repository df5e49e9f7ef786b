/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _DMNS_HELPERS_H
#define _DMNS_HELPERS_H

#include <linux/types.h>

struct llist_node;
struct work_struct;

bool dmns_in_task(void);
bool dmns_may_sleep(void);

int dmns_handler_begin(void);
void dmns_handler_end(int index);
void dmns_handlers_wait(void);

void dmns_keep(struct llist_node *node);
struct llist_node *dmns_take_kept(void);
void dmns_flush_kept(void);

/* In audit.rs. */
void dmns_send_kept(struct work_struct *work);

#endif

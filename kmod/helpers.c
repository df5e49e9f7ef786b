// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Rust cannot call: macros and inline functions that the kernel crate does not wrap, or not in every
 * version that this module builds for.
 */
#include <linux/llist.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>

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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Rust cannot call: macros and inline functions that the kernel crate does not wrap, or not in every
 * version that this module builds for.
 */
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>

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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Rust cannot call: macros over the preemption count, which the kernel crate does not wrap.
 */
#include <linux/preempt.h>
#include <linux/rcupdate.h>

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

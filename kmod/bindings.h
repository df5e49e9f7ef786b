/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Input of bindgen: what the kernel crate's own bindings lack. Kbuild names the items.
 */
#include <linux/audit.h>
#include <linux/cgroup_namespace.h>
#include <linux/device-mapper.h>
#include <linux/ftrace.h>
#include <linux/ipc_namespace.h>
#include <linux/kprobes.h>
#include <linux/namei.h>
#include <linux/pid_namespace.h>
#include <linux/time_namespace.h>
#include <linux/user_namespace.h>
#include <linux/utsname.h>
#include <net/net_namespace.h>

#include <kernel/audit.h>

#include "helpers.h"
#include "arch.h"

enum dmns_constant {
	/* A macro that bindgen cannot evaluate. */
	DMNS_LOOKUP_FOLLOW = LOOKUP_FOLLOW,

	/*
	 * bindgen does not see the anonymous `struct ns_tree` in `struct ns_common` (-fms-extensions): it
	 * knows neither ns_id nor the size, and so not the layout of what has an ns_common inside. The
	 * compiler does.
	 */
	DMNS_NS_ID	= offsetof(struct ns_common, ns_id),
	DMNS_UTS_NS	= offsetof(struct uts_namespace, ns),
	DMNS_IPC_NS	= offsetof(struct ipc_namespace, ns),
	DMNS_USER_NS	= offsetof(struct user_namespace, ns),
	DMNS_PID_NS	= offsetof(struct pid_namespace, ns),
	DMNS_NET_NS	= offsetof(struct net, ns),
	DMNS_CGROUP_NS	= offsetof(struct cgroup_namespace, ns),
	DMNS_TIME_NS	= offsetof(struct time_namespace, ns),

	/* Private to kernel/, see helpers.c. */
	DMNS_AUDIT_DUMMY	= offsetof(struct audit_context, dummy),
	DMNS_AUDIT_CONTEXT	= offsetof(struct audit_context, context),
	DMNS_AUDIT_UNUSED	= AUDIT_CTX_UNUSED,
};

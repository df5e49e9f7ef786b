/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note OR MIT */
/*
 * Audit record types of dmns-audit, for C programs. uapi/src/types.rs says the same in Rust; a test
 * there keeps the two equal.
 */
#ifndef _UAPI_LINUX_DMNS_AUDIT_H
#define _UAPI_LINUX_DMNS_AUDIT_H

/* As in <linux/audit.h> since 5.16; repeated there token for token, so both can be included. */
#define AUDIT_DM_CTRL		1338	/* Device Mapper target control */
#define AUDIT_DM_EVENT		1339	/* Device Mapper events */

#define AUDIT_NS_INIT_MNT	1380	/* mnt namespace created */
#define AUDIT_NS_INIT_UTS	1381	/* uts namespace created */
#define AUDIT_NS_INIT_IPC	1382	/* ipc namespace created */
#define AUDIT_NS_INIT_USER	1383	/* user namespace created */
#define AUDIT_NS_INIT_PID	1384	/* pid namespace created */
#define AUDIT_NS_INIT_NET	1385	/* net namespace created */
#define AUDIT_NS_INIT_CGROUP	1386	/* cgroup namespace created */
#define AUDIT_NS_INIT_TIME	1387	/* time namespace created */

#define AUDIT_NS_DEL_MNT	1388	/* mnt namespace deleted */
#define AUDIT_NS_DEL_UTS	1389	/* uts namespace deleted */
#define AUDIT_NS_DEL_IPC	1390	/* ipc namespace deleted */
#define AUDIT_NS_DEL_USER	1391	/* user namespace deleted */
#define AUDIT_NS_DEL_PID	1392	/* pid namespace deleted */
#define AUDIT_NS_DEL_NET	1393	/* net namespace deleted */
#define AUDIT_NS_DEL_CGROUP	1394	/* cgroup namespace deleted */
#define AUDIT_NS_DEL_TIME	1395	/* time namespace deleted */

#define AUDIT_NS_INFO		1396	/* the eight namespaces of a task */

#endif /* _UAPI_LINUX_DMNS_AUDIT_H */

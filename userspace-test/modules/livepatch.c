// SPDX-License-Identifier: GPL-2.0-only
/*
 * A livepatch of the functions that its parameter names, each as FUNCTION or as MODULE:FUNCTION of one module. Each
 * replacement counts its calls and does what the function does. In C, since livepatch has no Rust abstraction.
 */
#include <linux/kprobes.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/string.h>

/* How many functions one load can patch: as many as livepatch_x86.S has replacements. */
#define DMNS_SLOTS 24

static char *functions[DMNS_SLOTS];
static int nr_functions;
module_param_array(functions, charp, &nr_functions, 0400);
MODULE_PARM_DESC(functions, "The functions, as FUNCTION or as MODULE:FUNCTION");

/* In livepatch_x86.S: the replacements. */
extern void *const dmns_livepatch_slots[DMNS_SLOTS];

/* Where each replacement goes on: in the function, behind its patched entry. */
unsigned long dmns_livepatch_bodies[DMNS_SLOTS];

unsigned long dmns_livepatch_calls[DMNS_SLOTS];
module_param_array_named(calls, dmns_livepatch_calls, ulong, &nr_functions, 0400);
MODULE_PARM_DESC(calls, "How often each was called");

/* One more than can be filled: the list ends with an empty one. */
static struct klp_func in_vmlinux[DMNS_SLOTS + 1];
static struct klp_func in_module[DMNS_SLOTS + 1];
static struct klp_object objects[3];
static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
};

/* A kprobe finds what ftrace patches: behind ENDBR, where there is one. */
static int find(const char *function, unsigned long *body)
{
	struct kprobe probe = {
		.symbol_name = function,
		.flags = KPROBE_FLAG_DISABLED,
	};
	int error = register_kprobe(&probe);

	if (error)
		return error;
	*body = (unsigned long)probe.addr + MCOUNT_INSN_SIZE;
	unregister_kprobe(&probe);
	return 0;
}

static int __init dmns_livepatch_init(void)
{
	int vmlinux = 0, module = 0, object = 0;

	for (int i = 0; i < nr_functions; i++) {
		char *colon = strchr(functions[i], ':');
		struct klp_func *func = colon ? &in_module[module++] : &in_vmlinux[vmlinux++];
		int error = find(functions[i], &dmns_livepatch_bodies[i]);

		if (error) {
			pr_err("dmns_livepatch: %s: cannot find (%d)\n", functions[i], error);
			return error;
		}
		func->old_name = colon ? colon + 1 : functions[i];
		func->new_func = dmns_livepatch_slots[i];
	}
	if (vmlinux)
		objects[object++].funcs = in_vmlinux;
	if (module) {
		/* All are of the module of the first. */
		static char name[MODULE_NAME_LEN];

		for (int i = 0; i < nr_functions; i++) {
			char *colon = strchr(functions[i], ':');

			if (colon)
				strscpy(name, functions[i], min_t(size_t, sizeof(name), colon - functions[i] + 1));
		}
		objects[object].name = name;
		objects[object++].funcs = in_module;
	}
	return klp_enable_patch(&patch);
}
module_init(dmns_livepatch_init);

static void __exit dmns_livepatch_exit(void)
{
}
module_exit(dmns_livepatch_exit);

MODULE_DESCRIPTION("A livepatch that counts");
MODULE_AUTHOR("The dmns-audit developers");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");

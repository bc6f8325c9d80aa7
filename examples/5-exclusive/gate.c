// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/init.h>
#include <linux/module.h>

static int __init gate_init(void)
{
	pr_info("gate: loaded\n");
	return 0;
}

static void __exit gate_exit(void)
{
}

module_init(gate_init);
module_exit(gate_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms example: for kernels from 5.10");
MODULE_VERSION("1.0");

// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/init.h>
#include <linux/module.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#error "not for this kernel"
#endif

static int __init gate_new_init(void)
{
	pr_info("gate_new: loaded\n");
	return 0;
}

static void __exit gate_new_exit(void)
{
}

module_init(gate_new_init);
module_exit(gate_new_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms example: for kernels from 6.4");
MODULE_VERSION("1.0");

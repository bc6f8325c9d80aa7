// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/init.h>
#include <linux/module.h>
#include "../lib/greet.h"

static int __init user_init(void)
{
	greet("neighbour");
	return 0;
}

static void __exit user_exit(void)
{
}

module_init(user_init);
module_exit(user_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms example: uses the other module's symbol");
MODULE_VERSION("1.0");

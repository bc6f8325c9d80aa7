// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/export.h>
#include <linux/module.h>
#include "greet.h"

void greet(const char *whom)
{
	pr_info("greet: hello, %s\n", whom);
}
EXPORT_SYMBOL_GPL(greet);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms example: offers a symbol to others");
MODULE_VERSION("1.0");

// SPDX-License-Identifier: GPL-2.0-or-later
// A symbol from a namespace.
#include <linux/module.h>
#include <linux/dma-buf.h>

static int never;
module_param(never, int, 0444);

static int __init judge_init(void)
{
	if (never)
		dma_buf_put(NULL);
	return 0;
}

static void __exit judge_exit(void)
{
}

module_init(judge_init);
module_exit(judge_exit);

MODULE_IMPORT_NS(DMA_BUF);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");

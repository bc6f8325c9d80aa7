"""Modules that use symbols of each other, as a table: whose symbols, in which order, under which licence.

Two packages, built one after the other as two packages of dkms are: the second with the symbols of the first. A module is
named after what it tries. cases.toml lists those that the kernels are asked about; the others are there for them.
"""

import os
from dataclasses import dataclass

# A symbol for GPL modules only, and one for all modules. The linker sorts a module's symbol table by a hash
# of the names: EARLY, for GPL modules only too, comes before all symbols of this table, and GPL after most of
# them.
GPL, EARLY, FREE = "debugfs_create_dir", "platform_device_put", "kstrdup"


@dataclass
class Module:
    licence: str = "GPL"
    # With "!" at the end for GPL modules only; "SPACE:name" in a namespace.
    exports: str = ""
    uses: str = ""
    # Used only if a module provides it.
    weak: str = ""
    softdep: str = ""
    # Lines before all others, when declarations have to be the kernel's own.
    head: str = ""


CRC7 = "#include <linux/crc7.h>\n#define crc7_be_body u8 crc7_be(u8 crc, const u8 *buffer, size_t len) { return 0; }\n"
LLC = """#include <linux/skbuff.h>
#include <net/llc.h>
struct llc_sap *llc_sap_open(unsigned char lsap, int (*func)(struct sk_buff *, struct net_device *, struct packet_type *,
	struct net_device *)) { return NULL; }
EXPORT_SYMBOL(llc_sap_open);
void llc_sap_close(struct llc_sap *sap) { }
EXPORT_SYMBOL(llc_sap_close);
"""
STP = "#include <net/stp.h>\n"
# These headers declare FREE too.
NET = "#include <linux/string.h>\n#include <linux/debugfs.h>\n#include <net/llc.h>\n"
IMPORT = '__MODULE_INFO(import_ns, import_ns, "JUDGE");\n'

FIRST = {
    # ---- taint, three levels deep ----
    "taint_0": Module("Proprietary", "j_taint_0"),
    "taint_1": Module(exports="j_taint_1 j_taint_1_gpl!", uses="j_taint_0"),
    "taint_2": Module(exports="j_taint_2", uses=f"{FREE} j_taint_1"),
    "taint_3": Module(exports="j_taint_3", uses="j_taint_2"),
    "taint_gpl_before": Module(uses=f"{EARLY} j_taint_3"),
    "taint_gpl_after": Module(uses=f"j_taint_3 {GPL}"),
    "taint_gpl_near_before": Module(uses=f"{EARLY} j_taint_0"),
    "taint_gpl_near_after": Module(uses=f"j_taint_0 {GPL}"),
    "taint_gpl_between": Module(uses=f"{EARLY} j_taint_0 j_taint_3 {GPL}"),
    "taint_gpl_of_tainted": Module(uses="j_taint_1_gpl"),
    "taint_weak_gpl": Module(uses="j_taint_3", weak=GPL),
    "taint_weak_taint": Module(uses=EARLY, weak="j_taint_3"),
    "taint_weak_both": Module(weak=f"{EARLY} j_taint_3 {GPL}"),
    "taint_free": Module(uses=f"j_taint_3 {FREE}"),
    "taint_licensed": Module("Proprietary", uses="j_taint_3"),
    "clean_1": Module(exports="j_clean_1 j_clean_1_gpl!", uses=GPL),
    "taint_and_clean": Module(uses="j_taint_2 j_clean_1"),
    "taint_and_clean_gpl": Module(uses="j_taint_0 j_clean_1_gpl"),
    "clean_gpl_and_taint": Module(uses="j_clean_1_gpl j_taint_2"),
    # The name alone taints.
    "lve": Module(exports="j_lve"),
    "lve_user": Module(uses=f"{EARLY} j_lve"),
    # ---- soft dependencies ----
    "soft_missing": Module(uses=GPL, softdep="pre: judge_nowhere post: judge_nowhere_either"),
    "soft_refused": Module(uses=GPL, softdep="pre: taint_gpl_before"),
    "soft_taint": Module(uses=GPL, softdep="pre: taint_3"),
    "soft_same": Module(exports="j_same_soft", uses=GPL),
    "soft_same_before": Module(uses=GPL, softdep="pre: soft_same"),
    "soft_same_after": Module(uses=GPL, softdep="post: soft_same"),
    "soft_deep": Module(uses="j_soft_deep", softdep="pre: taint_1"),
    "soft_deep_1": Module(exports="j_soft_deep", uses=GPL, softdep="pre: judge_nowhere soft_refused"),
    # ---- namespaces ----
    "space": Module(exports="JUDGE:j_space", uses=GPL),
    "space_imported": Module(uses="j_space", head=IMPORT),
    "space_not": Module(uses="j_space", head=IMPORT),
    # ---- checksums ----
    "sum_0": Module(exports="j_sum_0"),
    "sum_1": Module(exports="j_sum_1", uses="j_sum_0"),
    "sum_wrong": Module(exports="j_sum_wrong", uses="j_sum_0"),
    "sum_of_wrong": Module(uses=f"{GPL} j_sum_wrong"),
    "sum_right": Module(uses="j_sum_1"),
    "sum_without": Module(exports="j_sum_without"),
    "sum_of_without": Module(uses=f"j_sum_without {GPL}"),
    "sum_wrong_unknown": Module(uses="j_sum_0 j_nowhere"),
    "sum_unknown_wrong": Module(uses="j_a_nowhere j_sum_0"),
    "same": Module(exports="j_same j_same_first"),
}

SECOND = {
    # ---- of another package ----
    "other_3": Module(exports="j_other_3", uses="j_taint_2"),
    "other_gpl": Module(uses=f"{EARLY} j_other_3"),
    "other_free": Module(uses=f"j_other_3 {FREE}"),
    "other_clean": Module(uses=f"j_clean_1_gpl {GPL}"),
    # The same symbol from two packages: depmod takes one, and both cannot be loaded.
    "again": Module(exports="j_same j_same_second"),
    "again_either": Module(uses="j_same"),
    "again_first": Module(uses="j_same_first"),
    "again_second": Module(uses="j_same_second"),
    "again_both": Module(uses="j_same_first j_same_second"),
    "again_soft": Module(uses="j_same_first", softdep="pre: again"),
    "again_soft_other": Module(uses="j_same_second", softdep="pre: again post: same"),
    "again_soft_same": Module(exports="j_same_soft", uses=GPL, softdep="pre: soft_same"),
    "again_soft_after": Module(exports="j_same_soft", uses=GPL, softdep="post: soft_same"),
    # A backport under another name, and its user; the kernel's own module cannot be loaded as well.
    "backport_core": Module(exports="j_backport", head=CRC7 + "crc7_be_body\nEXPORT_SYMBOL(crc7_be);\n"),
    "backport_user": Module(uses=f"crc7_be j_backport {GPL}", head="#include <linux/crc7.h>\n"),
    "backport_alone": Module(uses="crc7_be", head="#include <linux/crc7.h>\n"),
    "backport_and_own": Module(uses="crc7_be crc7_be_syndrome_table", head="#include <linux/crc7.h>\n"),
    "backport_soft": Module(uses="crc7_be", softdep="post: crc7", head="#include <linux/crc7.h>\n"),
    "backport_soft_own": Module(uses="crc7_be", softdep="pre: crc7", head="#include <linux/crc7.h>\n"),
    "own_alone": Module(uses="crc7_be_syndrome_table", head="#include <linux/crc7.h>\n"),
    # A proprietary module under a module of the kernel (stp needs llc).
    "under_core": Module("Proprietary", head=LLC),
    "under_user": Module(uses="stp_proto_register", head=STP),
    "under_free": Module(uses=f"llc_sap_open {FREE}", head=NET),
    "under_gpl": Module(uses=f"llc_sap_open {GPL}", head=NET),
    # A module of the kernel's name, without one of its symbols.
    "crc-itu-t": Module(exports="j_itu"),
    "named_user": Module(uses="j_itu"),
    "named_lost": Module(uses="crc_itu_t", head="#include <linux/crc-itu-t.h>\n"),
}

# Modules of the kernel that these need.
OWN = ("crc7", "crc-itu-t", "stp")


def source(module):
    """The text of a module."""
    lines = ["// SPDX-License-Identifier: GPL-2.0-or-later", "#include <linux/export.h>", "#include <linux/moduleparam.h>"]
    lines.append(module.head)
    known = {"crc7_be", "crc7_be_syndrome_table", "stp_proto_register", "llc_sap_open", "crc_itu_t"}
    if module.head == NET:
        known |= {GPL, FREE}
    for word in module.exports.split():
        space, _, name = word.rstrip("!").rpartition(":")
        kind = "_NS" if space else "_GPL" if word.endswith("!") else ""
        lines += [f"int {name}(void);", f"int {name}(void) {{ return 0; }}", f"EXPORT_SYMBOL{kind}({name}{', ' + space if space else ''});"]
    weak = module.weak.split()
    lines += [f"int {name}(void);" for name in module.uses.split() + weak if name not in known]
    lines += [f"#pragma weak {name}" for name in weak]
    needs = ", ".join(f"(void *){name}" for name in module.uses.split() + weak)
    if needs:
        lines.append(f"static void *needs[] __used = {{ {needs} }};")
    if module.softdep:
        lines.append(f'__MODULE_INFO(softdep, softdep, "{module.softdep}");')
    # Including linux/module.h would be nicer, but takes half of the time to compile.
    lines += ['__MODULE_INFO(description, description, "A module for the judge");', f'__MODULE_INFO(license, license, "{module.licence}");']
    return "\n".join(lines) + "\n"


def write(folder, modules):
    """The sources of a package."""
    os.makedirs(folder, exist_ok=True)
    for name, module in modules.items():
        with open(f"{folder}/{name}.c", "w") as f:
            f.write(source(module))
    with open(f"{folder}/Kbuild", "a") as f:
        f.write("".join(f"obj-m += {name}.o\n" for name in modules))

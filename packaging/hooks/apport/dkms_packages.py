#!/usr/bin/python3
"""Apport hook: files a crash report for the package of a dkms module that failed to build.

Called as: dkms_packages.py -m MODULE -v VERSION [-k KERNEL]
Does nothing (exit 1) if no package owns the sources, because there is no package to report a bug against.
"""

import argparse
import os
import sys

import apport
import apport.fileutils
from apport.hookutils import attach_file_if_exists


def main():
    """Write one report into apport's crash directory; returns the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("-m", dest="module", required=True)
    arguments.add_argument("-v", dest="version", required=True)
    arguments.add_argument("-k", dest="kernel")
    options = arguments.parse_args()

    package = apport.packaging.get_file_package(f"/usr/src/{options.module}-{options.version}")
    if package is None:
        print(f"dkms: no package owns the sources of {options.module}/{options.version}", file=sys.stderr)
        return 1

    report = apport.Report("Package")
    try:
        installed = apport.packaging.get_version(package) or "(not installed)"
        report["SourcePackage"] = apport.packaging.get_source(package)
    except ValueError:
        print(f"dkms: apport knows nothing about package {package}", file=sys.stderr)
        return 1
    report["Package"] = f"{package} {installed}"
    report["PackageVersion"] = installed
    report["Title"] = f"{package} {installed}: module {options.module} failed to build"
    if options.kernel:
        report["DKMSKernelVersion"] = options.kernel
    log = os.path.join("/var/lib/dkms", options.module, options.version, "build", "make.log")
    attach_file_if_exists(report, log, "DKMSBuildLog")
    for line in report.get("DKMSBuildLog", "").splitlines():
        if ": error:" in line:  # the first compiler error identifies duplicates
            report["DuplicateSignature"] = f"dkms:{package}:{installed}:{line.strip()}"
            break
    with apport.fileutils.make_report_file(report) as file:
        report.write(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())

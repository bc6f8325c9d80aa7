#!/bin/sh
# A placeholder for other work of a package: prints what is happening.
echo "orchestra: $*"

#!/bin/sh
# Stands for what a package has to do besides: says what is happening.
echo "orchestra: $*"

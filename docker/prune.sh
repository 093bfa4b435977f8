#!/bin/sh
# prune.sh VENV: leave out of a venv what nothing imports: torch's test programs and C++ headers, the
# packages' own tests, stubs. What compiles at run time (torch.compile) needs a compiler and the
# headers, which the image has neither of.
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)
cd "$packages"
rm -rf torch/test torch/include torch/share
find torch/bin -type f ! -name torch_shm_manager -delete
for package in bids nibabel networkx nipype numpy pandas prov rdflib scipy sklearn sqlalchemy sympy traits; do
  [ -d "$package" ] || continue
  find "$package" -depth -type d -name tests -exec rm -rf {} +
done
find . -name '*.pyi' -delete

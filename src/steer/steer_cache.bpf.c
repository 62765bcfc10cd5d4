// SPDX-License-Identifier: MIT OR GPL-2.0
// The programs of steer.bpf.c with the flow cache in front.

#define FLOW_CACHE
#include "steer.bpf.c"

// SPDX-License-Identifier: MIT OR GPL-2.0
// The same programs, with the flow cache in front.

#define FLOW_CACHE
#include "steer.bpf.c"

// SPDX-License-Identifier: MIT OR GPL-2.0
// Which queue of an ENI's or gateway's TUN does a packet go to? All packets of one flow and direction go to the same one, as
// long as the device lives: each queue has a thread, and what two threads read may be sent on in another order.
//
// So the choice is made of the packet alone. The kernel's own choice is made of what was written to the queues lately: it is
// forgotten after three seconds, and for more than 4096 flows, and then packets of a flow that goes on take another queue.

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MORE_FRAGMENTS 0x2000
#define FRAGMENT_OFFSET 0x1fff

// The finalizer of MurmurHash3: every bit of the input moves half of those of the output.
static __always_inline __u32 mix(__u32 hash)
{
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	return hash ^ hash >> 16;
}

// The kernel takes the result modulo the number of queues. A TUN's packets begin with the IP header.
SEC("socket")
int choose_queue(struct __sk_buff *skb)
{
	struct iphdr ip;
	__u32 ports = 0;
	__u32 hash;

	// What is not IPv4 does not pass: the first queue counts it.
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.version != 4)
		return 0;
	hash = mix(ip.saddr ^ mix(ip.daddr ^ ip.protocol));
	// Only the first fragment of a datagram has ports, and all of them belong together.
	if (ip.frag_off & bpf_htons(MORE_FRAGMENTS | FRAGMENT_OFFSET))
		return hash >> 1;
	if (ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) {
		// A header that is cut off has none; the engine drops it.
		if (!bpf_skb_load_bytes(skb, ip.ihl * 4, &ports, sizeof(ports)))
			hash = mix(hash ^ ports);
	}
	return hash >> 1;
}

char _license[] SEC("license") = "Dual MIT/GPL";

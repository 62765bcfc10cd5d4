// SPDX-License-Identifier: MIT OR GPL-2.0
// Chooses the queue of an ENI's or gateway's TUN device for a packet. All packets of one flow and
// direction go to the same queue for as long as the device lives: each queue has a thread, and
// packets that two threads read may be sent on in another order.
//
// So the choice depends on the packet alone. The kernel's own choice depends on what was written to
// the queues lately: it is forgotten after three seconds, and for more than 4096 flows, and then
// the packets of a flow that continues take another queue.

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MORE_FRAGMENTS 0x2000
#define FRAGMENT_OFFSET 0x1fff

// Returns the finalizer of MurmurHash3: every bit of the input changes half of the output's bits.
static __always_inline __u32 mix(__u32 hash)
{
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	return hash ^ hash >> 16;
}

// Returns a number, which the kernel takes modulo the number of queues. A TUN device's packets
// begin with the IP header.
SEC("socket")
int choose_queue(struct __sk_buff *skb)
{
	struct iphdr ip;
	__u32 ports = 0;
	__u32 hash;

	// A packet that is not IPv4 does not pass: the first queue counts it.
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.version != 4)
		return 0;
	hash = mix(ip.saddr ^ mix(ip.daddr ^ ip.protocol));
	// Only the first fragment of a datagram has ports, and all fragments belong together.
	if (ip.frag_off & bpf_htons(MORE_FRAGMENTS | FRAGMENT_OFFSET))
		return hash >> 1;
	if (ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) {
		// A truncated header has no ports; the engine drops the packet.
		if (!bpf_skb_load_bytes(skb, ip.ihl * 4, &ports, sizeof(ports)))
			hash = mix(hash ^ ports);
	}
	return hash >> 1;
}

char _license[] SEC("license") = "Dual MIT/GPL";

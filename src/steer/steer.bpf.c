// SPDX-License-Identifier: MIT OR GPL-2.0
// Chooses the link of each packet: three tc classifiers for the links of a lab's router namespace.
// They check the source address of a task and look up addresses. They hold no policy: the engine
// has it, in user space, behind the TUN devices. They map the address of a public endpoint where a
// packet enters or leaves its VPC: only there, because two VPCs may have the same private
// addresses, and the engine does not see the link by which a packet came.
//
// Everything that is not redirected is dropped and counted: there is no path through the kernel's
// own stack. With FLOW_CACHE defined (steer_cache.bpf.c), the flow cache (flow_cache.bpf.h)
// forwards the flows that the engine has offloaded. Keys and values are mirrored in
// src/linux/shared.rs.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_LINKS 16384
#define MAX_ADDRESSES 65536
#define MAX_PREFIXES 1048576
#define MAX_COUNTERS 65536

#define FRAGMENT_OFFSET 0x1fff

// Mirrored by SteerReason.
enum reason {
	FORGED = 1,
	NOT_IP = 2,
	NO_OWNER = 3,
	NO_LINK = 4,
	UNKNOWN_DEVICE = 5,
	TRUNCATED = 6,
	NO_HEADROOM = 7,
	FOREIGN_SOURCE = 8,
	NOT_FOR_ROUTER = 9,
	OTHER_VERSION = 10,
	IPV6 = 11,
	CUT_OFF = 12,
};

// Mirrored by Space. VPCs have the numbers above those listed here.
enum space {
	INTERNET = 1,
};

struct task {
	__be32 address;
	__u32 tun;
};

struct owned {
	enum space space;
	__be32 address;
};

// Where the packets of a link come from.
struct origin {
	enum space space;
	// The only source address of its packets. 0: any.
	__be32 source;
};

struct prefix {
	__u32 length;
	__u32 tun;
	__be32 address;
};

struct link {
	__u32 ifindex;
	__u8 far[ETH_ALEN];
	__u8 near[ETH_ALEN];
	// The private address of a public endpoint in that namespace. 0: packets keep their
	// destination.
	__be32 private;
};

struct drop_counter_key {
	__u32 ifindex;
	enum reason reason;
};

// Router end of a task's veth -> the task.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_LINKS);
	__type(key, __u32);
	__type(value, struct task);
} tasks SEC(".maps");

// Router end of the veth of a VPC, of an attached resource, of a gateway endpoint, of the internet or
// of the services -> its address space.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_LINKS);
	__type(key, __u32);
	__type(value, struct origin);
} spaces SEC(".maps");

// An address that egret answers for -> the TUN device of the ENI or gateway that has it. In the
// services' space: a task's own address, which reaches them untranslated.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_ADDRESSES);
	__type(key, struct owned);
	__type(value, __u32);
} owners SEC(".maps");

// The private address of a public endpoint, in its VPC -> its public one, as the VPC's internet
// gateway maps it.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_ADDRESSES);
	__type(key, struct owned);
	__type(value, __be32);
} public_addresses SEC(".maps");

// A task's address -> its link.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_LINKS);
	__type(key, __be32);
	__type(value, struct link);
} task_links SEC(".maps");

// A prefix as one TUN device's packets see it -> the link of the namespace that has it. An ENI
// belongs to one subnet, so that subnet's route table determines what its TUN device reaches, and
// another TUN device may reach the same addresses by another link.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_PREFIXES);
	__type(key, struct prefix);
	__type(value, struct link);
} prefix_links SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_COUNTERS);
	__type(key, struct drop_counter_key);
	__type(value, __u64);
} drops SEC(".maps");

static __always_inline int drop(struct __sk_buff *skb, enum reason reason)
{
	struct drop_counter_key key = { .ifindex = skb->ifindex, .reason = reason };
	__u64 *count = bpf_map_lookup_elem(&drops, &key);

	if (!count) {
		__u64 zero = 0;

		// Another CPU may have been first: then its entry counts.
		bpf_map_update_elem(&drops, &key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&drops, &key);
	}
	if (count)
		__sync_fetch_and_add(count, 1);
	return TC_ACT_SHOT;
}

#define ECHO_REPLY 0
#define ECHO_REQUEST 8
// TC_ACT_UNSPEC: no verdict.
#define MISS -1

#ifdef FLOW_CACHE
#include "flow_cache.bpf.h"
#else
static __always_inline int is_of_ip_socket(const struct __sk_buff *skb)
{
	return 1;
}

static __always_inline int send_cached(struct __sk_buff *skb, __u8 echo)
{
	return MISS;
}
#endif

// Returns whether an address is below 224.0.0.0, where multicast, a reserved block and limited
// broadcast begin.
static __always_inline int is_unicast(__be32 address)
{
	return bpf_ntohl(address) < 0xe0000000;
}

// Copies the first 20 bytes of a frame's IP header, whose version must be `version`. Returns the
// reason to drop the frame, or 0 if a router's port takes it.
//
// The bytes cannot change between this check and user space: a sender with a packet socket's ring
// shares a frame's pages with the kernel, but the veth has copied them by now.
static __always_inline enum reason read_header(struct __sk_buff *skb, __u8 version, struct iphdr *header)
{
	if (bpf_skb_load_bytes(skb, ETH_HLEN, header, sizeof(*header)))
		return TRUNCATED;
	if (header->version != version)
		return OTHER_VERSION;
	switch (skb->pkt_type) {
	case PACKET_HOST:
		return 0;
	case PACKET_BROADCAST:
	case PACKET_MULTICAST:
		// RFC 1812, 5.3.4: a router forwards no packet for one host that came in a
		// broadcast frame. A packet whose own address is multicast or broadcast is punted,
		// and the engine drops it with its reason; IPv6 is punted as well.
		return version == 4 && is_unicast(header->daddr) ? NOT_FOR_ROUTER : 0;
	default:
		return NOT_FOR_ROUTER;
	}
}

// Replaces an address, whose field is at `field`, in the header at `begin`, and in the checksums
// that cover it. In a later fragment only the header's checksum does.
static __always_inline int replace_address(struct __sk_buff *skb, __u32 begin, const struct iphdr *ip, __u32 field,
					   __be32 from, __be32 to)
{
	__u32 payload = begin + ip->ihl * 4, flags = BPF_F_PSEUDO_HDR | sizeof(to);
	long failed = 0;

	if (!(ip->frag_off & bpf_htons(FRAGMENT_OFFSET))) {
		if (ip->protocol == IPPROTO_TCP)
			failed = bpf_l4_csum_replace(skb, payload + offsetof(struct tcphdr, check), from, to, flags);
		else if (ip->protocol == IPPROTO_UDP)
			// A checksum of 0 says that there is none.
			failed = bpf_l4_csum_replace(skb, payload + offsetof(struct udphdr, check), from, to,
						     flags | BPF_F_MARK_MANGLED_0);
	}
	return failed || bpf_l3_csum_replace(skb, begin + offsetof(struct iphdr, check), from, to, sizeof(to)) ||
	       bpf_skb_store_bytes(skb, begin + field, &to, sizeof(to), 0);
}

// Returns the IPv4 address of the task that has this IPv6 address, or 0. The first 96 bits are
// mirrored in src/packet/ipv6.rs.
static __always_inline __be32 task_of(const struct in6_addr *address)
{
	const __be32 *words = address->in6_u.u6_addr32;

	if (words[0] != bpf_htonl(0xfd656772) || words[1] != bpf_htonl(0x65740000) || words[2])
		return 0;
	return words[3];
}

// Handles IPv6, which never passes. A packet from the task's own address is punted: the engine says
// why it is dropped, and answers. Others are counted here, where the link shows the task whatever
// the source.
static __always_inline int punt_ipv6(struct __sk_buff *skb, const struct task *task)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || task_of(&ip.saddr) != task->address)
		return drop(skb, IPV6);
	return bpf_redirect(task->tun, 0);
}

// Handles packets from a task. Every packet that gets from here to the TUN device of an ENI has the
// task's own source address, of IPv4 or IPv6: the version in the header is the one that the frame
// announces, and no VLAN tag precedes it. So user space may identify the task of a packet by its
// source address. The same is true of the flow cache, whose keys have link and source.
SEC("classifier")
int task_ingress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	enum reason reason;
	struct iphdr ip;
	struct task *task;
	int is_ipv6, sent = is_of_ip_socket(skb) ? send_cached(skb, ECHO_REQUEST) : MISS;

	if (sent != MISS)
		return sent;
	task = bpf_map_lookup_elem(&tasks, &ifindex);
	if (!task)
		return drop(skb, UNKNOWN_DEVICE);
	is_ipv6 = skb->protocol == bpf_htons(ETH_P_IPV6);
	// The kernel removes the outermost tag; a further one is the protocol.
	if (skb->vlan_present || (!is_ipv6 && skb->protocol != bpf_htons(ETH_P_IP)))
		return drop(skb, NOT_IP);
	reason = read_header(skb, is_ipv6 ? 6 : 4, &ip);
	if (reason)
		return drop(skb, reason);
	if (is_ipv6)
		return punt_ipv6(skb, task);
	if (ip.saddr != task->address)
		return drop(skb, FORGED);
	return bpf_redirect(task->tun, 0);
}

// Sends a packet for no address of its VPC out by the internet gateway, if its source has a public
// address, which is the one that the lab's NATs know.
static __always_inline int leave_by_internet_gateway(struct __sk_buff *skb, const struct iphdr *ip, enum space space)
{
	struct owned from = { .space = space, .address = ip->saddr };
	struct owned to = { .space = INTERNET, .address = ip->daddr };
	__be32 *public = bpf_map_lookup_elem(&public_addresses, &from);
	__u32 *tun = bpf_map_lookup_elem(&owners, &to);

	if (!public || !tun)
		return drop(skb, NO_OWNER);
	if (replace_address(skb, ETH_HLEN, ip, offsetof(struct iphdr, saddr), ip->saddr, *public))
		return drop(skb, TRUNCATED);
	return bpf_redirect(*tun, 0);
}

// Handles packets from a VPC, an attached resource, a gateway endpoint, the internet or the services.
SEC("classifier")
int space_ingress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	enum reason reason;
	struct origin *origin;
	struct owned key;
	struct iphdr ip;
	__u32 *tun;
	int sent = send_cached(skb, ECHO_REPLY);

	if (sent != MISS)
		return sent;
	origin = bpf_map_lookup_elem(&spaces, &ifindex);
	if (!origin)
		return drop(skb, UNKNOWN_DEVICE);
	if (skb->vlan_present || skb->protocol != bpf_htons(ETH_P_IP))
		return drop(skb, NOT_IP);
	reason = read_header(skb, 4, &ip);
	if (reason)
		return drop(skb, reason);
	if (origin->source && ip.saddr != origin->source)
		return drop(skb, FORGED);
	key.space = origin->space;
	key.address = ip.daddr;
	tun = bpf_map_lookup_elem(&owners, &key);
	if (!tun)
		return leave_by_internet_gateway(skb, &ip, origin->space);
	return bpf_redirect(*tun, 0);
}

// Returns the reason to drop a packet that goes to a namespace, or 0. egret sends there only from
// the addresses that it answers for in that namespace, or on the internet if the packet enters by
// an internet gateway. So a private address never gets to the internet, nor one VPC's to another
// that is not peered with it, whatever the prefixes say.
static __always_inline enum reason refusal(const struct link *link, __be32 source)
{
	__u32 ifindex = link->ifindex;
	struct origin *origin = bpf_map_lookup_elem(&spaces, &ifindex);
	struct owned key = { .address = source };

	if (!origin)
		return NO_LINK;
	key.space = link->private ? INTERNET : origin->space;
	return bpf_map_lookup_elem(&owners, &key) ? 0 : FOREIGN_SOURCE;
}

static __always_inline int deliver(struct __sk_buff *skb, const struct link *link)
{
	__u32 ifindex = link->ifindex;
	struct ethhdr ethernet;

	if (!ifindex)
		return drop(skb, NO_LINK);
	__builtin_memcpy(ethernet.h_dest, link->far, ETH_ALEN);
	__builtin_memcpy(ethernet.h_source, link->near, ETH_ALEN);
	ethernet.h_proto = skb->protocol;
	if (bpf_skb_change_head(skb, ETH_HLEN, 0) ||
	    bpf_skb_store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0))
		return drop(skb, NO_HEADROOM);
	return bpf_redirect_peer(ifindex, 0);
}

// Delivers the engine's answer to a task's IPv6.
static __always_inline int answer_ipv6(struct __sk_buff *skb)
{
	struct in6_addr destination;
	struct link *link;
	__be32 address;

	if (bpf_skb_load_bytes(skb, offsetof(struct ipv6hdr, daddr), &destination, sizeof(destination)))
		return drop(skb, TRUNCATED);
	address = task_of(&destination);
	link = bpf_map_lookup_elem(&task_links, &address);
	return link ? deliver(skb, link) : drop(skb, NO_LINK);
}

// Delivers what the engine has forwarded. There is no Ethernet header yet.
SEC("classifier")
int tun_ingress(struct __sk_buff *skb)
{
	struct prefix key = { .length = 64, .tun = skb->ifindex };
	struct link *link;
	enum reason reason;
	struct iphdr ip;

	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return answer_ipv6(skb);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop(skb, NOT_IP);
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return drop(skb, TRUNCATED);
	key.address = ip.daddr;
	link = bpf_map_lookup_elem(&task_links, &key.address);
	if (link)
		return deliver(skb, link);
	link = bpf_map_lookup_elem(&prefix_links, &key);
	if (!link)
		return drop(skb, NO_LINK);
	reason = refusal(link, ip.saddr);
	if (reason)
		return drop(skb, reason);
	if (link->private &&
	    replace_address(skb, 0, &ip, offsetof(struct iphdr, daddr), ip.daddr, link->private))
		return drop(skb, TRUNCATED);
	return deliver(skb, link);
}

// Precedes tun_ingress at a TUN device whose worker hangs: nothing that the worker has judged is
// delivered.
SEC("classifier")
int cut_off_ingress(struct __sk_buff *skb)
{
	return drop(skb, CUT_OFF);
}

char _license[] SEC("license") = "Dual MIT/GPL";

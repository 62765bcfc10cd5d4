// SPDX-License-Identifier: MIT OR GPL-2.0
// The flow cache rewrites, counts and forwards the packets of offloaded flows. It decides nothing.
// An entry is the verdict for one direction, made in user space under one generation of the
// configuration; a packet that the verdict may not cover is punted to the engine, as if there were
// no cache.
//
// Keys, values and counters are mirrored in src/linux/shared.rs.

#include <linux/in.h>
#include <linux/tcp.h>

// Numbers that user space has too. As an enum they are in the object's BTF, by which
// src/linux/shared_layout.rs compares them.
enum shared_number {
	// Each flow has two entries.
	MAX_FLOWS = 131072,
	// The same as in src/flow/tcp.rs.
	MAX_FLIGHT = 1 << 26,
	OPEN_BIT = 63,
	IN_SEQUENCE_BIT = 62,
};

// ICMP messages up to this size are checked here; larger ones are punted, because the engine drops
// a damaged one.
#define MAX_ICMP 128

// Bits of the count of punted packets. OPEN: the direction is open. IN_SEQUENCE: data opens the
// direction if it begins where the data ends that user space has sent on.
#define OPEN (1ULL << OPEN_BIT)
#define IN_SEQUENCE (1ULL << IN_SEQUENCE_BIT)

#define FLAG_FIN 1
#define FLAG_SYN 2
#define FLAG_RST 4
#define FLAG_ACK 16

// A packet as it arrives, with its link. The link makes the key include the source check of tasks,
// and the link from which a reply must come.
struct flow_key {
	__u32 link;
	__be32 source;
	__be32 destination;
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 zero[3];
};

struct flow_entry {
	__u32 generation;
	__u32 out;
	__u8 far[ETH_ALEN];
	__u8 near[ETH_ALEN];
	__be32 source;
	__be32 destination;
	__be16 sport;
	__be16 dport;
	// The differences that the new addresses, and the new ports, make to a checksum.
	__u16 addresses;
	__u16 ports;
	__u16 mtu;
	// 1 if the packet passes a hop, so that its TTL decreases.
	__u8 hop;
	// 0 is from the task, 1 is back to it.
	__u8 direction;
	__u32 slot;
	__u32 zero;
	// The longest time for which the flow may be idle, in nanoseconds: after a longer one the
	// packet is punted, so that the engine notices it.
	__u64 idle;
};

// One direction's counters and state. It has its own cache line, because two CPUs may forward the
// two directions.
struct direction {
	__u64 packets;
	__u64 segments;
	__u64 bytes;
	__u64 seen;
	// The highest sequence number sent, plus one, and the highest acknowledgement, both
	// extended beyond 2^32. They only grow, whether user space moves them or a CPU does
	// (src/flow/tcp.rs).
	__u64 end;
	__u64 ack;
	// Copies of the lower halves of the other direction's ack and end, as this direction last
	// read them, so that it rarely reads the other one's cache line. User space sets them so
	// that the first packet reads both.
	__u32 floor;
	__u32 ceiling;
	// The number of packets that the reordering barrier has punted since the entry was made.
	// The bits OPEN and IN_SEQUENCE say when the barrier ends.
	__u64 punted;
};

struct slot {
	struct direction directions[2];
	// For each direction, the end of what was sent further ahead than its `end` may move
	// (src/flow/tcp.rs). This cache line is read only where that much is in flight.
	__u64 claimed[2];
	// Holds nothing. Its type brings the shared numbers into the BTF.
	enum shared_number number;
	__u32 zero[11];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * MAX_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct flow_entry);
} flow_cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct slot);
} flow_counters SEC(".maps");

// The generation whose entries are used. 0: no entry is used.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} generation SEC(".maps");

// The time until which entries are used, in nanoseconds of CLOCK_MONOTONIC, where they outlive the
// process that made them; the process renews it while it lives. 0: there is no such time.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} deadline SEC(".maps");

// The data about a slot's flow that the next process needs (src/linux/records.rs); no program here
// reads it.
struct record_tuple {
	__u16 space;
	__u8 protocol;
	__u8 zero;
	__be32 source;
	__be32 destination;
	__be16 sport;
	__be16 dport;
};

struct record_port {
	__u16 holder;
	__u16 space;
	__be32 address;
	__u32 port;
};

struct record_counted {
	__u64 own[3];
	__u64 offloaded[3];
};

struct record {
	struct record_tuple egress;
	struct record_tuple returned;
	struct record_port eni;
	struct record_port nat;
	struct record_port endpoint;
	__u32 untracked;
	__u64 began;
	struct record_counted counted[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct record);
} flow_records SEC(".maps");

// Address families, as linux/socket.h is the kernel's own.
#define AF_INET 2
#define AF_INET6 10

// User space sets this before it loads the programs for test runs, whose packets no IP socket has
// sent.
volatile const __u8 takes_any_sender;

// Returns whether an IP socket has sent a packet. The kernel's IP leaves a checksum to be completed
// only where the checksum belongs. A packet socket, or a TAP device in the task, may name any other
// place, such as that of a port, and a later device would write there. The program cannot see the
// place here, but user space receives it with the packet.
static __always_inline int is_of_ip_socket(const struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	return takes_any_sender || (sk && (sk->family == AF_INET || sk->family == AF_INET6));
}

// The parts of a plain packet.
struct plain {
	struct flow_key key;
	__u32 total;
	// The bytes that every segment of the packet repeats.
	__u32 headers;
};

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

static __always_inline int is_valid_header(const struct iphdr *ip)
{
	const __u32 *words = (const __u32 *)ip;

	return fold((__u64)words[0] + words[1] + words[2] + words[3] + words[4]) == 0xffff;
}

static __always_inline int is_valid_icmp(struct __sk_buff *skb, __u64 length)
{
	__u8 bytes[MAX_ICMP] = {};

	if (length < 8)
		return 0;
	// The two bounds must not be combined into one on a difference: the kernel's verifier would
	// not see them.
	asm volatile("" : "+r"(length));
	if (length > MAX_ICMP)
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr), bytes, length))
		return 0;
	return fold((__u32)bpf_csum_diff(0, 0, (__be32 *)bytes, sizeof(bytes), 0)) == 0xffff;
}

// Reads a packet, and returns whether it is plain: its first 54 bytes have all that matters, and
// nothing is to be decided except which flow it belongs to.
static __always_inline int read_plain(struct __sk_buff *skb, __u8 echo, struct plain *plain)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__u8 *l4 = data + ETH_HLEN + sizeof(*ip);
	__u32 length;

	if (l4 + 8 > (__u8 *)end)
		return 0;
	plain->total = bpf_ntohs(ip->tot_len);
	if (*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff) ||
	    skb->len != ETH_HLEN + plain->total || skb->pkt_type != PACKET_HOST || skb->vlan_present ||
	    !is_valid_header(ip))
		return 0;
	plain->key = (struct flow_key){
		.link = skb->ifindex,
		.source = ip->saddr,
		.destination = ip->daddr,
		.protocol = ip->protocol,
	};
	switch (ip->protocol) {
	case IPPROTO_TCP:
		if (l4 + sizeof(struct tcphdr) > (__u8 *)end)
			return 0;
		if ((l4[13] & (FLAG_FIN | FLAG_SYN | FLAG_RST | FLAG_ACK)) != FLAG_ACK)
			return 0;
		length = (l4[12] >> 4) * 4;
		if (length < sizeof(struct tcphdr))
			return 0;
		break;
	case IPPROTO_UDP:
		length = bpf_ntohs(*(__be16 *)(l4 + 4));
		if (length < 8 || sizeof(*ip) + length > plain->total)
			return 0;
		length = 8;
		break;
	case IPPROTO_ICMP:
		if (l4[0] != echo || l4[1] || skb->gso_size)
			return 0;
		if (echo)
			plain->key.sport = *(__be16 *)(l4 + 4);
		else
			plain->key.dport = *(__be16 *)(l4 + 4);
		plain->headers = sizeof(*ip) + 8;
		return 1;
	default:
		return 0;
	}
	plain->key.sport = *(__be16 *)l4;
	plain->key.dport = *(__be16 *)(l4 + 2);
	plain->headers = sizeof(*ip) + length;
	return plain->headers <= plain->total;
}

// Moves a number forward. What another CPU, or user space, has written meanwhile stays if it is
// further.
static __always_inline void advance(__u64 *number, __u64 from, __u64 to)
{
	for (int tries = 0; tries < 4 && from < to; tries++) {
		__u64 found = __sync_val_compare_and_swap(number, from, to);

		if (found == from)
			return;
		from = found;
	}
}

// Returns whether a sender may be this far ahead of what the other side has acknowledged. It reads
// the other side's cache line only now and then.
static __always_inline int is_in_flight(struct direction *own, const struct direction *other, __u64 end)
{
	__u64 acknowledged;

	if ((__u32)end - own->floor <= MAX_FLIGHT / 2)
		return 1;
	acknowledged = *(volatile __u64 *)&other->ack;
	if (end > acknowledged && end - acknowledged > MAX_FLIGHT)
		return 0;
	own->floor = acknowledged;
	return 1;
}

// Moves the acknowledgement forward, if it is of something that the other side has sent. One beyond
// the other side's end counts if that side has claimed to be there, and then moves that end.
static __always_inline void acknowledge(struct direction *own, struct direction *other, __u64 *claimed,
					__u32 number)
{
	__u64 ack = *(volatile __u64 *)&own->ack, end, to;
	__u32 further = number - (__u32)ack, room = own->ceiling - (__u32)ack, behind;

	if (!further)
		return;
	if (room < 1U << 31 && further <= room) {
		advance(&own->ack, ack, ack + further);
		return;
	}
	end = *(volatile __u64 *)&other->end;
	own->ceiling = end;
	behind = (__u32)end - number;
	if (behind > 1U << 31) {
		to = end + (__u32)-behind;
		if (to > *(volatile __u64 *)claimed)
			return;
		advance(&other->end, end, to);
		advance(&own->ack, ack, to);
	} else if (behind <= end) {
		advance(&own->ack, ack, end - behind);
	}
}

// Records of a segment what the engine would record.
static __always_inline void track(struct slot *slot, __u32 direction, const struct tcphdr *tcp,
				  __u32 payload)
{
	struct direction *own = &slot->directions[direction & 1];
	struct direction *other = &slot->directions[!(direction & 1)];
	__u64 *claimed = &slot->claimed[direction & 1];
	__u64 end = *(volatile __u64 *)&own->end;
	__u32 further = bpf_ntohl(tcp->seq) + payload - (__u32)end;

	if (further && further < 1U << 31) {
		if (is_in_flight(own, other, end + further))
			advance(&own->end, end, end + further);
		else
			advance(claimed, *(volatile __u64 *)claimed, end + further);
	}
	acknowledge(own, other, &slot->claimed[!(direction & 1)], bpf_ntohl(tcp->ack_seq));
}

// Returns whether the direction's reordering barrier lets a packet pass, and counts the packet as
// punted if not. `data` says that the packet has data, which begins with the number `seq`.
static __always_inline int is_open(struct direction *own, int data, __u32 seq)
{
	__u64 before;
	__u32 end;

	if (*(volatile __u64 *)&own->punted & OPEN)
		return 1;
	// Read before the bits: user space clears IN_SEQUENCE before it moves the end by what it
	// has not sent on.
	end = *(volatile __u64 *)&own->end;
	before = __sync_fetch_and_add(&own->punted, 1);
	if (before & OPEN)
		return 1;
	if (!(before & IN_SEQUENCE) || !data || seq != end)
		return 0;
	__sync_fetch_and_or(&own->punted, OPEN);
	return 1;
}

static __always_inline int rewrite(struct __sk_buff *skb, const struct flow_entry *entry, __u8 echo)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = data + ETH_HLEN;
	__u8 *l4 = data + ETH_HLEN + sizeof(*ip);
	__u64 sum = entry->addresses, flags = 0;
	__u32 at = ETH_HLEN + sizeof(*ip);
	__u8 protocol;

	if (l4 + 8 > (__u8 *)end)
		return 0;
	protocol = ip->protocol;
	__builtin_memcpy(ethernet->h_dest, entry->far, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, entry->near, ETH_ALEN);
	ip->saddr = entry->source;
	ip->daddr = entry->destination;
	if (entry->hop) {
		// TTL is the first byte of its word.
		ip->ttl--;
		sum += 0xffff - bpf_htons(0x0100);
	}
	if (sum)
		ip->check = ~fold(sum + (__u16)~ip->check);
	if (protocol == IPPROTO_ICMP) {
		*(__be16 *)(l4 + 4) = echo ? entry->sport : entry->dport;
		return !entry->ports || !bpf_l4_csum_replace(skb, at + 2, 0, entry->ports, 0);
	}
	*(__be16 *)l4 = entry->sport;
	*(__be16 *)(l4 + 2) = entry->dport;
	if (protocol == IPPROTO_UDP) {
		at += 6;
		flags = BPF_F_MARK_MANGLED_0;
	} else {
		at += 16;
	}
	// The kernel knows whether the checksum is partial: then the ports are no part of it.
	if (entry->addresses &&
	    bpf_l4_csum_replace(skb, at, 0, entry->addresses, flags | BPF_F_PSEUDO_HDR))
		return 0;
	return !entry->ports || !bpf_l4_csum_replace(skb, at, 0, entry->ports, flags);
}

// Forwards a packet of a flow that is in the cache. MISS leaves it to the caller, which punts it.
// `echo` is the type of ICMP echo that a flow has on this side.
static __always_inline int send_cached(struct __sk_buff *skb, __u8 echo)
{
	__u32 zero = 0, segments = 1, largest, gso = skb->gso_size;
	__u32 *current = bpf_map_lookup_elem(&generation, &zero);
	__u64 *until = bpf_map_lookup_elem(&deadline, &zero);
	struct plain plain = {};
	struct direction *own, *other;
	struct flow_entry *found, copy, *entry = &copy;
	struct slot *slot;
	struct iphdr *ip;
	void *data, *end;
	__u64 now;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return MISS;
	if (!current || !*current || !until || !read_plain(skb, echo, &plain))
		return MISS;
	found = bpf_map_lookup_elem(&flow_cache, &plain.key);
	if (!found)
		return MISS;
	// The kernel reuses the memory of a removed entry immediately: what was read belongs to
	// this flow only if the flow still has that memory.
	copy = *(volatile struct flow_entry *)found;
	if (bpf_map_lookup_elem(&flow_cache, &plain.key) != found)
		return MISS;
	if (entry->generation != *(volatile __u32 *)current)
		return MISS;
	largest = plain.total;
	if (gso) {
		segments = (plain.total - plain.headers + gso - 1) / gso;
		if (!segments)
			segments = 1;
		if (largest > plain.headers + gso)
			largest = plain.headers + gso;
	}
	if (largest > entry->mtu)
		return MISS;
	slot = bpf_map_lookup_elem(&flow_counters, &entry->slot);
	if (!slot)
		return MISS;
	own = &slot->directions[entry->direction & 1];
	other = &slot->directions[!(entry->direction & 1)];
	now = bpf_ktime_get_coarse_ns();
	if (*(volatile __u64 *)until && now > *(volatile __u64 *)until)
		return MISS;
	if ((__s64)(now - own->seen) > (__s64)entry->idle && (__s64)(now - other->seen) > (__s64)entry->idle)
		return MISS;
	if (plain.key.protocol == IPPROTO_ICMP && !is_valid_icmp(skb, plain.total - sizeof(*ip)))
		return MISS;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = data + ETH_HLEN;
	if ((void *)(ip + 1) + 8 > end || (entry->hop && ip->ttl <= 1))
		return MISS;
	if (plain.key.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)(ip + 1);

		__u32 payload = plain.total - plain.headers;

		if ((void *)(tcp + 1) > end || !is_open(own, payload != 0, bpf_ntohl(tcp->seq)))
			return MISS;
		track(slot, entry->direction, tcp, payload);
	} else if (!is_open(own, 0, 0)) {
		return MISS;
	}
	if ((__s64)(now - own->seen) > 0)
		own->seen = now;
	// Two CPUs may forward one direction.
	__sync_fetch_and_add(&own->packets, 1);
	__sync_fetch_and_add(&own->segments, segments);
	__sync_fetch_and_add(&own->bytes, plain.total + (segments - 1) * plain.headers);
	if (!rewrite(skb, entry, echo))
		return drop(skb, NO_HEADROOM);
	return bpf_redirect_peer(entry->out, 0);
}

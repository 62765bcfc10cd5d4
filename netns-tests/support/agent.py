"""What a test does inside a namespace: a request per line on stdin, an answer per line on stdout, both JSON.

One interpreter per namespace serves a whole test; servers run as threads beside the requests. An operation that the
network refuses answers with the errno's name, or "timeout".
"""

import errno
import hashlib
import json
import mmap
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter

sockets = {}
peers = []
digests = []
flood = []
numbered = {}
highest = {}
noting = threading.Lock()
seen = {}


def tcp(address, port, sport=0, timeout=5.0):
    """Connects, and has one line echoed. Answers with the local port."""
    with connection(address, port, sport, timeout) as s:
        echoed(s)
        return s.getsockname()[1]


def connections(address, port, count, timeout=3.0):
    """Begins so many connections at once. Answers with how many are accepted by their first SYN: a later one of the same
    connection may take another port or address on its way."""
    waiting = {}
    accepted = 0
    with select.epoll() as poll:
        for _ in range(count):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((address, port))
            poll.register(s, select.EPOLLOUT)
            waiting[s.fileno()] = s
        end = time.monotonic() + timeout
        while waiting and (left := end - time.monotonic()) > 0:
            for fd, _ in poll.poll(left):
                poll.unregister(fd)
                s = waiting.pop(fd)
                accepted += s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and retransmitted(s) == 0
                s.close()
    for s in waiting.values():
        s.close()
    return accepted


def retransmitted(s):
    """The segments that a connection has sent twice: tcpi_total_retrans of linux/tcp.h."""
    return int.from_bytes(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[100:], sys.byteorder)


def open_(name, address, port, sport=0, timeout=5.0):
    """Like tcp, and keeps the connection."""
    s = connection(address, port, sport, timeout)
    try:
        echoed(s)
    except OSError:
        s.close()
        raise
    sockets[name] = s
    return s.getsockname()[1]


def connection(address, port, sport, timeout):
    s = socket.socket()
    s.settimeout(timeout)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind(("0.0.0.0", sport))
        s.connect((address, port))
    except OSError:
        s.close()
        raise
    return s


def say(name, timeout=5.0):
    """One line echoed on a connection that was kept."""
    sockets[name].settimeout(timeout)
    echoed(sockets[name])
    return "ok"


def send(name):
    """Sends a line on a connection that was kept, and waits for nothing."""
    sockets[name].sendall(b"late\n")
    return "ok"


def numbers(name):
    """The next sequence numbers of a connection that was kept: this side's, and the other's."""
    s = sockets[name]
    # TCP_REPAIR, TCP_REPAIR_QUEUE and TCP_QUEUE_SEQ of linux/tcp.h; -1 ends the repair without a
    # segment to the other side.
    s.setsockopt(socket.IPPROTO_TCP, 19, 1)
    found = []
    for queue in (2, 1):
        s.setsockopt(socket.IPPROTO_TCP, 20, queue)
        found.append(s.getsockopt(socket.IPPROTO_TCP, 21) & 0xFFFFFFFF)
    s.setsockopt(socket.IPPROTO_TCP, 19, -1)
    return found


def end(name):
    """Ends this side of a connection that was kept."""
    sockets[name].shutdown(socket.SHUT_WR)
    return "ok"


def close(name):
    sockets.pop(name).close()
    return "ok"


def echoed(s):
    s.sendall(b"hello\n")
    if s.recv(100) == b"":
        raise ConnectionAbortedError(errno.ECONNABORTED, "closed")


def udp(address, port, sport=0, size=5, timeout=5.0):
    """One datagram echoed over a connected socket, which is what shows ICMP errors. Answers with the local port."""
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.bind(("0.0.0.0", sport))
        s.connect((address, port))
        s.send(bytes(size))
        if s.recv(65536) != bytes(size):
            return "corrupt"
        return s.getsockname()[1]


def refused6(protocol, address, port, timeout):
    """Sends to an IPv6 address, which nothing answers but an error."""
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[protocol]
    with socket.socket(socket.AF_INET6, kind) as s:
        s.settimeout(timeout)
        s.connect((address, port))
        s.send(b"hello")
        s.recv(1)
    return "answered"


def udp_segments(address, port, size, count):
    """Hands the kernel `count` datagrams in one piece (UDP_SEGMENT), each unlike the others; all must be echoed."""
    segments = [(bytes([number]) * size) for number in range(count)]
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.setsockopt(socket.IPPROTO_UDP, 103, size)
        s.connect((address, port))
        s.send(b"".join(segments))
        echoes = sorted(s.recv(65536) for _ in segments)
    return "ok" if echoes == segments else "corrupt"


def serve(address, port):
    """A TCP echo server that notes its peers."""
    return accept(address, port, echo)


def echo(s):
    while data := s.recv(65536):
        s.sendall(data)


def serve_without_end(address, port):
    """Like serve, but never ends its side."""

    def run(s):
        echo(s)
        threading.Event().wait()

    return accept(address, port, run)


def serve_udp(address, port):
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.bind((address, port))

    def run():
        while True:
            data, peer = s.recvfrom(65536)
            peers.append("%s:%d" % peer)
            s.sendto(data, peer)

    threading.Thread(target=run, daemon=True).start()
    return "ok"


def serve_sink_udp(address, port):
    """Takes datagrams, reads none and answers none."""
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.bind((address, port))
    sockets["sink"] = s
    return "ok"


def begin_flood(address, port):
    """Sends datagrams as fast as it can, until end_flood."""
    end = threading.Event()

    def send():
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.connect((address, port))
            while not end.is_set():
                try:
                    s.send(b"flood")
                except OSError:
                    # The error is an ICMP error about an earlier datagram, or a full queue.
                    pass

    thread = threading.Thread(target=send)
    flood.append((thread, end))
    thread.start()
    return "ok"


def end_flood():
    thread, end = flood.pop()
    end.set()
    thread.join()
    return "ok"


def serve_numbered(address, port):
    """Echoes numbered datagrams, and notes the highest number of each peer."""
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.bind((address, port))
    sockets["numbered"] = s

    def run():
        while True:
            select.select([s], [], [])
            with noting:
                data, peer = s.recvfrom(64)
                highest["%s:%d" % peer] = int.from_bytes(data, "big")
                s.sendto(data, peer)

    threading.Thread(target=run, daemon=True).start()
    return "ok"


def take_highest():
    """Answers with the highest number of each peer, once all that has arrived is noted."""
    while True:
        with noting:
            if not select.select([sockets["numbered"]], [], [], 0)[0]:
                return dict(highest)


def begin_numbered(address, port):
    """Sends numbered datagrams as fast as it can, and takes what comes back. Answers with the local port."""
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.connect((address, port))
    s.setblocking(False)
    numbered.update(sent=0, back=0, tries=0, ends=False)

    def run():
        number = 0
        while not numbered["ends"]:
            # Set before the datagram is sent: a number up to this may have been sent, a greater one
            # was not.
            number += 1
            numbered["sent"] = number
            while not sent(s, number) and not numbered["ends"]:
                select.select([], [s], [], 0.1)
            take_back(s)
        s.close()

    numbered["thread"] = threading.Thread(target=run, daemon=True)
    numbered["thread"].start()
    return s.getsockname()[1]


def sent(s, number):
    """Whether a datagram has left: a queue may be full, or an ICMP error be told about an earlier one."""
    numbered["tries"] += 1
    try:
        return s.send(number.to_bytes(8, "big")) == 8
    except OSError:
        return False


def take_back(s):
    """Notes the last number of those that have come back."""
    try:
        while True:
            numbered["back"] = int.from_bytes(s.recv(64), "big")
    except OSError:
        # There are no more datagrams.
        return


def numbered_so_far():
    """Answers with the highest number that may have been sent, the last one that came back, and how often it was tried."""
    return [numbered["sent"], numbered["back"], numbered["tries"]]


def end_numbered():
    numbered["ends"] = True
    numbered["thread"].join()
    return "ok"


def serve_exchange(address, port, size):
    """Takes what the client sends until it ends, then sends `size` bytes of its own."""

    def run(s):
        digests.append([digest_of(s), "in"])
        digests.append([pour(s, size, seed=2), "out"])
        s.shutdown(socket.SHUT_WR)

    return accept(address, port, run)


def exchange(address, port, size):
    """Sends `size` bytes, takes what the server sends. Answers with both digests."""
    with connection(address, port, 0, 60.0) as s:
        sent = pour(s, size, seed=1)
        s.shutdown(socket.SHUT_WR)
        return [sent, digest_of(s)]


def pour(s, size, seed):
    block = random.Random(seed).randbytes(1 << 20)
    digest = hashlib.sha256()
    for number in range(0, size, len(block)):
        # No two megabytes are alike, or a lost one would not show.
        data = (number.to_bytes(8, "big") + block)[: min(len(block), size - number)]
        s.sendall(data)
        digest.update(data)
    return digest.hexdigest()


def digest_of(s):
    digest = hashlib.sha256()
    while data := s.recv(1 << 18):
        digest.update(data)
    return digest.hexdigest()


def serve_sink(address, port):
    """Takes on each connection a number and so many bytes, says how many came, and so on: none is kept."""

    def run(s):
        into = bytearray(1 << 20)
        while head := s.recv(8, socket.MSG_WAITALL):
            left = size = int.from_bytes(head, "big")
            while left and (count := s.recv_into(into, min(left, len(into)))):
                left -= count
            s.sendall((size - left).to_bytes(8, "big"))

    return accept(address, port, run)


def open_sink(name, address, port):
    sockets[name] = connection(address, port, 0, 10.0)
    return sockets[name].getsockname()[1]


def fill_sink(name, size, bytes_per_second):
    """Sends `size` bytes on a connection to a sink, no faster than that. Answers with how many the sink counted."""
    s = sockets[name]
    s.settimeout(None)
    s.setsockopt(socket.SOL_SOCKET, 47, bytes_per_second.to_bytes(8, sys.byteorder))  # SO_MAX_PACING_RATE
    s.sendall(size.to_bytes(8, "big"))
    block = memoryview(bytes(1 << 20))
    for sent in range(0, size, len(block)):
        s.sendall(block[: size - sent])
    return int.from_bytes(s.recv(8, socket.MSG_WAITALL), "big")


def accept(address, port, handle):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)

    def one(s):
        try:
            handle(s)
        except OSError:
            pass
        finally:
            s.close()

    def run():
        while True:
            s, peer = listener.accept()
            peers.append("%s:%d" % peer)
            threading.Thread(target=one, args=(s,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    return "ok"


def take_peers():
    """Who connected or sent since the last call."""
    taken = peers[:]
    del peers[: len(taken)]
    return taken


def take_digests():
    taken = digests[:]
    del digests[: len(taken)]
    return taken


def frames(interface, *packets):
    """Sends whole frames, as given in hexadecimal."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((interface, 0))
        for frame in packets:
            s.send(bytes.fromhex(frame))
    return "ok"


def frames_that_change(interface, frame, at, changed, count):
    """Sends a frame so often from pages that are shared with the kernel, in which another process writes these bytes and
    those of the frame by turns meanwhile."""
    frame, changed = bytes.fromhex(frame), bytes.fromhex(changed)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        # PACKET_TX_RING of SOL_PACKET: one block of one frame.
        s.setsockopt(263, 13, struct.pack("IIII", 4096, 1, 4096, 1))
        ring = mmap.mmap(s.fileno(), 4096)
        s.bind((interface, 0))
        # struct tpacket_hdr, and the offset of the frame after it.
        status, begin = struct.Struct("=QII"), 32
        where = slice(begin + at, begin + at + len(changed))
        ring[begin : begin + len(frame)] = frame
        sender = os.getpid()
        writer = os.fork()
        if writer == 0:
            original = frame[at : at + len(changed)]
            # The writer ends with the sender, however that ends.
            while os.getppid() == sender:
                ring[where] = changed
                ring[where] = original
            os._exit(0)
        try:
            for _ in range(count):
                ring[: status.size] = status.pack(1, len(frame), len(frame))
                s.send(b"")
        finally:
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
    return "ok"


def sniff(interface):
    """From here on counts every IP packet that comes in on an interface, by source."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    s.bind((interface, 3))
    counts = Counter()
    lock = threading.Lock()

    def take():
        with lock:
            while True:
                try:
                    packet, (_, protocol, kind, _, _) = s.recvfrom(64, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return counts
                if kind == socket.PACKET_OUTGOING:
                    continue
                name = socket.inet_ntoa(packet[12:16]) if protocol == 0x0800 else "%04x" % protocol
                counts[name] += 1

    def run():
        while True:
            select.select([s], [], [])
            take()

    seen[interface] = take
    threading.Thread(target=run, daemon=True).start()
    return "ok"


def sniffed(interface):
    """What was counted until now: what is in the socket's queue is taken first, whatever the thread is about."""
    return dict(seen[interface]())


def wire(interface, address=None):
    """Opens an interface for whole frames with their virtio-net headers (linux/virtio_net.h), and a socket for whole packets to an
    address. What this process sends is handed on by one processor, so that nothing overtakes."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    # PACKET_VNET_HDR of SOL_PACKET.
    s.setsockopt(263, 15, 1)
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
    s.bind((interface, 3))
    sockets["wire"] = s
    sockets["packets"] = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    if address:
        sockets["packets"].connect((address, 0))
    return "ok"


def wire_send(*packets):
    """Sends frames behind their virtio-net headers; those that begin with "packet " are whole packets for IP to send. Answers with
    those that the kernel refuses, and why."""
    refused = []
    for number, frame in enumerate(packets):
        kind, _, packet = frame.rpartition(" ")
        try:
            sockets["packets" if kind else "wire"].send(bytes.fromhex(packet))
        except OSError as error:
            refused.append([number, errno.errorcode[error.errno]])
    return refused


def wire_take(count, timeout=10.0):
    """Answers with the frames that came in: so many, or those until nothing has come for so long."""
    s = sockets["wire"]
    taken = []
    while len(taken) < count and select.select([s], [], [], timeout)[0]:
        frame, (_, _, kind, _, _) = s.recvfrom(1 << 17)
        if kind != socket.PACKET_OUTGOING:
            taken.append(frame.hex())
    return taken


OPERATIONS = {
    "wire": wire,
    "wire_send": wire_send,
    "wire_take": wire_take,
    "serve_sink_udp": serve_sink_udp,
    "begin_flood": begin_flood,
    "end_flood": end_flood,
    "serve_numbered": serve_numbered,
    "highest": take_highest,
    "forget_highest": lambda: highest.clear() or "ok",
    "begin_numbered": begin_numbered,
    "numbered_so_far": numbered_so_far,
    "end_numbered": end_numbered,
    "tcp": tcp,
    "connections": connections,
    "open": open_,
    "say": say,
    "send": send,
    "numbers": numbers,
    "end": end,
    "close": close,
    "udp": udp,
    "refused6": refused6,
    "udp_segments": udp_segments,
    "serve": serve,
    "serve_without_end": serve_without_end,
    "serve_udp": serve_udp,
    "serve_exchange": serve_exchange,
    "exchange": exchange,
    "serve_sink": serve_sink,
    "open_sink": open_sink,
    "fill_sink": fill_sink,
    "peers": take_peers,
    "digests": take_digests,
    "frames": frames,
    "frames_that_change": frames_that_change,
    "sniff": sniff,
    "sniffed": sniffed,
}


def main():
    print('"ready"', flush=True)
    for line in sys.stdin:
        operation, *arguments = json.loads(line)
        try:
            answer = OPERATIONS[operation](*arguments)
        except TimeoutError as error:
            # A timeout set on the socket has no errno; the kernel's has.
            answer = errno.errorcode[error.errno] if error.errno else "timeout"
        except OSError as error:
            answer = errno.errorcode[error.errno]
        print(json.dumps(answer), flush=True)


main()

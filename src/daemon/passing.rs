//! Connections of the control socket that pass a descriptor with a request (unix(7), SCM_RIGHTS): a
//! client that runs as root opens a namespace that the lab's process may not open.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{UnixListener, UnixStream};

/// A descriptor that the other end has passed. The first one stays until it is taken; further ones
/// are closed.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed(Arc<Mutex<Option<OwnedFd>>>);

impl Passed {
    /// Takes the descriptor.
    pub(super) fn take(&self) -> Option<OwnedFd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, descriptor: OwnedFd) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(descriptor);
    }
}

/// A connection that may pass a descriptor.
#[derive(Debug)]
pub(super) struct PassingStream {
    stream: UnixStream,
    passed: Passed,
    /// The descriptor that the first byte written passes.
    to_pass: Option<OwnedFd>,
}

impl PassingStream {
    /// Makes a connection that takes descriptors.
    pub(super) fn taking(stream: UnixStream) -> Self {
        Self { stream, passed: Passed::default(), to_pass: None }
    }

    /// Makes a connection that passes a descriptor with the first byte written, if there is one.
    pub(super) fn passing(stream: UnixStream, to_pass: Option<OwnedFd>) -> Self {
        Self { stream, passed: Passed::default(), to_pass }
    }

    /// Returns the connection itself.
    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Returns what the other end has passed, and will have passed.
    pub(super) fn passed(&self) -> Passed {
        self.passed.clone()
    }

    fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let mut into = [IoSliceMut::new(bytes)];
        let received =
            recvmsg(self.stream.as_fd(), &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                descriptors.for_each(|descriptor| self.passed.keep(descriptor));
            }
        }
        Ok(received.bytes)
    }

    fn send(&self, bytes: &[u8], descriptor: &OwnedFd) -> io::Result<usize> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        let descriptors = [descriptor.as_fd()];
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("no room to pass a descriptor"));
        }
        let from = [IoSlice::new(bytes)];
        Ok(sendmsg(self.stream.as_fd(), &from, &mut control, SendFlags::NOSIGNAL)?)
    }
}

impl AsyncRead for PassingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let bytes = buffer.initialize_unfilled();
            match self.stream.try_io(Interest::READABLE, || self.receive(bytes)) {
                Ok(received) => {
                    buffer.advance(received);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for PassingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(descriptor) = self.to_pass.take() else {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        };
        loop {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    self.to_pass = Some(descriptor);
                    return Poll::Pending;
                }
            }
            let sent = self.stream.try_io(Interest::WRITABLE, || self.send(bytes, &descriptor));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A listener whose connections may pass descriptors.
#[derive(Debug)]
pub(super) struct PassingListener(pub(super) UnixListener);

impl axum::serve::Listener for PassingListener {
    type Io = PassingStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        (PassingStream::taking(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_descriptor_arrives_with_the_first_byte_and_only_once() {
        let (one, other) = UnixStream::pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        let inode = null.metadata().unwrap().ino();
        let mut sender = PassingStream::passing(one, Some(null.into()));
        let mut receiver = PassingStream::taking(other);
        let passed = receiver.passed();
        assert!(passed.take().is_none());
        let mut bytes = [0; 4];
        for word in [b"POST", b"more"] {
            sender.write_all(word).await.unwrap();
            receiver.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, word);
        }
        let arrived = File::from(passed.take().unwrap());
        assert_eq!(arrived.metadata().unwrap().ino(), inode);
        assert!(passed.take().is_none());
        drop(sender);
        assert_eq!(receiver.read(&mut bytes).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn further_descriptors_are_closed() {
        let (one, other) = UnixStream::pair().unwrap();
        let receiver = PassingStream::taking(other);
        let sender = PassingStream::passing(one, None);
        let (pipe, writer) = std::io::pipe().unwrap();
        let ends = [File::open("/dev/null").unwrap().into(), OwnedFd::from(writer)];
        for end in &ends {
            sender.send(b"x", end).unwrap();
        }
        drop(ends);
        let mut receiver = receiver;
        receiver.read_exact(&mut [0; 2]).await.unwrap();
        // Its other end is closed: nobody holds the second descriptor any more.
        assert_eq!(io::Read::read(&mut &pipe, &mut [0]).unwrap(), 0);
        assert!(receiver.passed().take().is_some());
    }
}

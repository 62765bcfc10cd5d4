//! The tc programs on links. A program stays as long as the process has it, or, if it is pinned, as
//! long as its pin exists (`pins.rs`).

use super::programs::{CUT_OFF, TUN, classifier, since};
use super::{Netns, Pins, SteerError};
use aya::Ebpf;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{
    self, NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcError,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

#[derive(Debug)]
struct Attached {
    program: &'static str,
    hold: Hold,
    task: Option<Ipv4Addr>,
}

#[derive(Debug)]
enum Hold {
    Own(SchedClassifierLinkId),
    /// Held by a pin with this path.
    Pinned(PathBuf),
}

/// A link that has the program of the earlier process.
#[derive(Debug)]
struct PinnedByPredecessor {
    ifindex: u32,
    link: String,
    program: &'static str,
    pin: PathBuf,
}

/// The programs on the links of one router namespace.
#[derive(Debug)]
pub(super) struct Attachments {
    netns: Netns,
    attached: HashMap<u32, Attached>,
    /// The TUNs that are cut off.
    cut_off: HashMap<u32, SchedClassifierLinkId>,
    /// The pins of the links' programs, if they are pinned.
    pins: Option<Pins>,
    /// Links that still have the program of the earlier process.
    handed_over: Vec<PinnedByPredecessor>,
    /// True once they are taken over: programs pinned from then on are this process's own.
    has_taken_over: bool,
}

type Trouble = Box<dyn std::error::Error + Send + Sync>;

impl Attachments {
    pub(super) fn new(router: &Netns, pins: Option<Pins>) -> Self {
        Self {
            netns: router.clone(),
            attached: HashMap::new(),
            cut_off: HashMap::new(),
            pins,
            handed_over: Vec::new(),
            has_taken_over: false,
        }
    }

    /// Returns the address of the task on a link.
    pub(super) fn task(&self, ifindex: u32) -> Option<Ipv4Addr> {
        self.attached.get(&ifindex)?.task
    }

    /// Attaches a program to a link. An attached link keeps its program: the maps hold all that
    /// differs. Returns the address that the task there had before, if that changes.
    pub(super) fn attach(
        &mut self,
        bpf: &mut Ebpf,
        link: &str,
        ifindex: u32,
        program: &'static str,
        task: Option<Ipv4Addr>,
    ) -> Result<Option<Ipv4Addr>, SteerError> {
        if let Some(attached) = self.attached.get_mut(&ifindex) {
            let before = std::mem::replace(&mut attached.task, task);
            return Ok(before.filter(|before| Some(*before) != task));
        }
        // A TUN is removed with the process, and its program with it.
        let hold = match self.pins.as_ref().filter(|_| program != TUN).map(|p| p.link(link)) {
            None => Hold::Own(self.attach_new(bpf, link, program)?),
            Some(pin) if pin.exists() && !self.has_taken_over => {
                let link = link.to_owned();
                self.handed_over.push(PinnedByPredecessor {
                    ifindex,
                    link,
                    program,
                    pin: pin.clone(),
                });
                Hold::Pinned(pin)
            }
            Some(pin) => {
                // An existing pin belongs to an interface that was removed.
                let _ = std::fs::remove_file(&pin);
                self.attach_to_stay(bpf, link, program, &pin)?;
                Hold::Pinned(pin)
            }
        };
        self.attached.insert(ifindex, Attached { program, hold, task });
        Ok(None)
    }

    /// Takes over the links of the earlier process, as
    /// [`Steer::take_over`](super::Steer::take_over) describes.
    pub(super) fn take_over(&mut self, bpf: &mut Ebpf) -> Result<(), SteerError> {
        self.has_taken_over = true;
        for PinnedByPredecessor { link, program, pin, .. } in std::mem::take(&mut self.handed_over)
        {
            if replace(bpf, program, &pin).is_err() {
                // Its interface no longer exists: nothing else holds this pin.
                let _ = std::fs::remove_file(&pin);
                self.attach_to_stay(bpf, &link, program, &pin)?;
            }
        }
        Ok(())
    }

    fn attach_to_stay(
        &self,
        bpf: &mut Ebpf,
        link: &str,
        program: &'static str,
        pin: &Path,
    ) -> Result<(), SteerError> {
        let id = self.attach_new(bpf, link, program)?;
        let classifier = classifier(bpf, program)?;
        let pinned = (|| {
            let taken = FdLink::try_from(classifier.take_link(id)?)?;
            taken.pin(pin)?;
            Ok::<_, Trouble>(())
        })();
        pinned.map_err(|trouble| SteerError::Keep {
            link: link.to_owned(),
            trouble: trouble.to_string(),
        })
    }

    fn attach_new(
        &self,
        bpf: &mut Ebpf,
        link: &str,
        program: &'static str,
    ) -> Result<SchedClassifierLinkId, SteerError> {
        let classifier = classifier(bpf, program)?;
        let id = self.netns.run(|| attach_here(classifier, link))?;
        id.map_err(|source| SteerError::Program {
            what: "attaching",
            program,
            link: link.to_owned(),
            source: Box::new(source),
        })
    }

    /// Drops all packets that come out of a TUN, until [`Attachments::reconnect`].
    pub(super) fn cut_off(
        &mut self,
        bpf: &mut Ebpf,
        link: &str,
        ifindex: u32,
    ) -> Result<(), SteerError> {
        if !self.cut_off.contains_key(&ifindex) {
            self.cut_off.insert(ifindex, self.attach_new(bpf, link, CUT_OFF)?);
        }
        Ok(())
    }

    /// Undoes [`Attachments::cut_off`]. A TUN that is not cut off is no error.
    pub(super) fn reconnect(&mut self, bpf: &mut Ebpf, ifindex: u32) -> Result<(), SteerError> {
        match self.cut_off.remove(&ifindex) {
            Some(id) => self.release(bpf, CUT_OFF, id, ifindex),
            None => Ok(()),
        }
    }

    /// Detaches the programs of a link. A link without any is no error.
    pub(super) fn detach(&mut self, bpf: &mut Ebpf, ifindex: u32) -> Result<(), SteerError> {
        self.detach_program(bpf, ifindex)?;
        // Only afterwards: a worker that wakes up would deliver packets until the program is
        // detached.
        self.reconnect(bpf, ifindex)
    }

    fn detach_program(&mut self, bpf: &mut Ebpf, ifindex: u32) -> Result<(), SteerError> {
        let Some(Attached { program, hold, .. }) = self.attached.remove(&ifindex) else {
            return Ok(());
        };
        let id = match hold {
            Hold::Own(id) => id,
            Hold::Pinned(pin) => {
                self.handed_over.retain(|link| link.ifindex != ifindex);
                return match std::fs::remove_file(&pin) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        let link = format!("interface {ifindex}");
                        Err(SteerError::Keep { link, trouble: error.to_string() })
                    }
                    Ok(()) | Err(_) => Ok(()),
                };
            }
        };
        self.release(bpf, program, id, ifindex)
    }

    fn release(
        &self,
        bpf: &mut Ebpf,
        program: &'static str,
        id: SchedClassifierLinkId,
        ifindex: u32,
    ) -> Result<(), SteerError> {
        let classifier = classifier(bpf, program)?;
        // On kernels without links this uses netlink, so it too must run inside.
        let detached = self.netns.run(|| classifier.detach(id))?;
        match detached {
            Ok(()) => Ok(()),
            // The interface was removed first, and took the program with it.
            Err(ProgramError::TcError(TcError::NetlinkError(_))) => Ok(()),
            Err(source) => Err(SteerError::Program {
                what: "detaching",
                program,
                link: format!("interface {ifindex}"),
                source: Box::new(source),
            }),
        }
    }
}

/// Replaces the program of a pinned link.
fn replace(bpf: &mut Ebpf, program: &'static str, pin: &Path) -> Result<(), Trouble> {
    let link = FdLink::from(PinnedLink::from_pin(pin)?);
    let classifier = classifier(bpf, program)?;
    let id = classifier.attach_to_link(SchedClassifierLink::try_from(link)?)?;
    // From here on only its pin holds it.
    drop(classifier.take_link(id)?);
    Ok(())
}

/// Attaches a program. Runs inside the router namespace, where `link` is.
fn attach_here(
    classifier: &mut SchedClassifier,
    link: &str,
) -> Result<SchedClassifierLinkId, ProgramError> {
    let options = if since(6, 6) {
        TcAttachOptions::TcxOrder(LinkOrder::first())
    } else {
        match tc::qdisc_add_clsact(link) {
            Ok(()) | Err(TcError::AlreadyAttached) => {}
            Err(error) => return Err(error.into()),
        }
        // The kernel puts the newest filter first.
        TcAttachOptions::Netlink(NlOptions::default())
    };
    classifier.attach_with_options(link, TcAttachType::Ingress, options)
}

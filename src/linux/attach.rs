//! A tc program on a link: as long as the process has it, or as long as its name is there (`pins.rs`).

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
    /// By this name.
    Pinned(PathBuf),
}

/// A link that has the program of the process before.
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
    /// Where the programs of links are pinned, if they are.
    pins: Option<Pins>,
    /// Links that still have the program of the process before.
    handed_over: Vec<PinnedByPredecessor>,
    /// Whether that is over: what is pinned from then on is this process's own.
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

    /// The address of the task on a link.
    pub(super) fn task(&self, ifindex: u32) -> Option<Ipv4Addr> {
        self.attached.get(&ifindex)?.task
    }

    /// Attaches a program to a link. An attached link keeps its program: what that does there is in the maps. Returns the
    /// address that the task there had before, if it is another one.
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
        // A TUN goes with the process, and its program with it.
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
                // One that is there is of an interface that was removed.
                let _ = std::fs::remove_file(&pin);
                self.attach_to_stay(bpf, link, program, &pin)?;
                Hold::Pinned(pin)
            }
        };
        self.attached.insert(ifindex, Attached { program, hold, task });
        Ok(None)
    }

    /// See [`Steer::take_over`](super::Steer::take_over).
    pub(super) fn take_over(&mut self, bpf: &mut Ebpf) -> Result<(), SteerError> {
        self.has_taken_over = true;
        for PinnedByPredecessor { link, program, pin, .. } in std::mem::take(&mut self.handed_over)
        {
            if replace(bpf, program, &pin).is_err() {
                // Its interface was another one: nothing holds on to this.
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

    /// Drops whatever comes out of a TUN, until [`Attachments::reconnect`].
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

    /// Undoes [`Attachments::cut_off`]. Not being cut off is fine.
    pub(super) fn reconnect(&mut self, bpf: &mut Ebpf, ifindex: u32) -> Result<(), SteerError> {
        match self.cut_off.remove(&ifindex) {
            Some(id) => self.release(bpf, CUT_OFF, id, ifindex),
            None => Ok(()),
        }
    }

    /// Detaches the programs of a link; there being none is fine.
    pub(super) fn detach(&mut self, bpf: &mut Ebpf, ifindex: u32) -> Result<(), SteerError> {
        self.detach_program(bpf, ifindex)?;
        // After that: a worker that wakes up would deliver packets until the program is detached.
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
        // On kernels without links this speaks netlink, so it too must be inside.
        let detached = self.netns.run(|| classifier.detach(id))?;
        match detached {
            Ok(()) => Ok(()),
            // The interface went first, and took the program with it.
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
    // From here on only its name holds it.
    drop(classifier.take_link(id)?);
    Ok(())
}

/// Runs inside the router namespace, where `link` is.
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

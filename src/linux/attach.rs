//! A tc program on a link: as long as the process has it, or as long as its name is there (`pins.rs`).

use super::steer::{Steer, SteerError, TUN, classifier, since};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{
    self, NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcError,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Attached {
    program: &'static str,
    hold: Hold,
    pub(super) task: Option<Ipv4Addr>,
}

#[derive(Debug)]
enum Hold {
    Own(SchedClassifierLinkId),
    /// By this name.
    Pinned(PathBuf),
}

/// A link that has the program of the process before.
#[derive(Debug)]
pub(super) struct Inherited {
    ifindex: u32,
    link: String,
    program: &'static str,
    pin: PathBuf,
}

type Trouble = Box<dyn std::error::Error + Send + Sync>;

impl Steer {
    /// An attached link keeps its program: what a program does there is in the maps.
    pub(super) fn attach(
        &mut self,
        link: &str,
        ifindex: u32,
        program: &'static str,
        task: Option<Ipv4Addr>,
    ) -> Result<(), SteerError> {
        if let Some(attached) = self.attached.get_mut(&ifindex) {
            let before = std::mem::replace(&mut attached.task, task);
            return match before.filter(|before| Some(*before) != task) {
                Some(before) => self.withdraw_task(before),
                None => Ok(()),
            };
        }
        // A TUN goes with the process, and its program with it.
        let hold = match self.pins.as_ref().filter(|_| program != TUN).map(|p| p.link(link)) {
            None => Hold::Own(self.attach_new(link, program)?),
            Some(pin) if pin.exists() && !self.has_taken_over => {
                let link = link.to_owned();
                self.inherited.push(Inherited { ifindex, link, program, pin: pin.clone() });
                Hold::Pinned(pin)
            }
            Some(pin) => {
                // Of an interface that is gone, if it is there.
                let _ = std::fs::remove_file(&pin);
                self.attach_to_stay(link, program, &pin)?;
                Hold::Pinned(pin)
            }
        };
        self.attached.insert(ifindex, Attached { program, hold, task });
        Ok(())
    }

    /// Gives the links that the process before attached the programs of this one, each at once. What is not attached
    /// again by then keeps the old one. A process without one before calls it, too, when it is up.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn take_over(&mut self) -> Result<(), SteerError> {
        self.has_taken_over = true;
        for Inherited { link, program, pin, .. } in std::mem::take(&mut self.inherited) {
            if self.replace(program, &pin).is_err() {
                // Its interface was another one: nothing holds on to this.
                let _ = std::fs::remove_file(&pin);
                self.attach_to_stay(&link, program, &pin)?;
            }
        }
        Ok(())
    }

    fn replace(&mut self, program: &'static str, pin: &Path) -> Result<(), Trouble> {
        let link = FdLink::from(PinnedLink::from_pin(pin)?);
        let classifier = classifier(&mut self.bpf, program)?;
        let id = classifier.attach_to_link(SchedClassifierLink::try_from(link)?)?;
        // From here on only its name holds it.
        drop(classifier.take_link(id)?);
        Ok(())
    }

    fn attach_to_stay(
        &mut self,
        link: &str,
        program: &'static str,
        pin: &Path,
    ) -> Result<(), SteerError> {
        let id = self.attach_new(link, program)?;
        let classifier = classifier(&mut self.bpf, program)?;
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
        &mut self,
        link: &str,
        program: &'static str,
    ) -> Result<SchedClassifierLinkId, SteerError> {
        let classifier = classifier(&mut self.bpf, program)?;
        let id = self.netns.run(|| attach_here(classifier, link))?;
        id.map_err(|source| SteerError::Program {
            what: "attaching",
            program,
            link: link.to_owned(),
            source: Box::new(source),
        })
    }

    pub(super) fn detach(&mut self, ifindex: u32) -> Result<(), SteerError> {
        let Some(Attached { program, hold, .. }) = self.attached.remove(&ifindex) else {
            return Ok(());
        };
        let id = match hold {
            Hold::Own(id) => id,
            Hold::Pinned(pin) => {
                self.inherited.retain(|inherited| inherited.ifindex != ifindex);
                return match std::fs::remove_file(&pin) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        let link = format!("interface {ifindex}");
                        Err(SteerError::Keep { link, trouble: error.to_string() })
                    }
                    Ok(()) | Err(_) => Ok(()),
                };
            }
        };
        let classifier = classifier(&mut self.bpf, program)?;
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

/// Runs inside the router namespace, where `link` is.
fn attach_here(
    classifier: &mut SchedClassifier,
    link: &str,
) -> Result<SchedClassifierLinkId, ProgramError> {
    let options = if since(6, 6) {
        TcAttachOptions::TcxOrder(LinkOrder::default())
    } else {
        match tc::qdisc_add_clsact(link) {
            Ok(()) | Err(TcError::AlreadyAttached) => {}
            Err(error) => return Err(error.into()),
        }
        TcAttachOptions::Netlink(NlOptions::default())
    };
    classifier.attach_with_options(link, TcAttachType::Ingress, options)
}

//! Calls the control API of a running lab.

use super::passing::PassingStream;
use super::process;
use super::shared::Problem;
use super::silence::{Silence, Silent, is_stopped};
use super::state;
use super::streams::STREAM;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Limits the wait for an answer, before the client looks whether the lab answers at all.
const LOOK: Duration = Duration::from_secs(5);
/// Limits the wait for that look.
const ALIVE: Duration = Duration::from_secs(10);
/// Limits a call that asks for no judgement of packets and no change of the whole lab.
const QUICK: Duration = Duration::from_secs(60);
/// The call that a lab answers at once, whatever it works on.
const ALIVE_PATH: &str = "/v1/alive";
/// The calls without a time limit: they judge packets, or build the lab that a file describes.
const LONG_PATHS: [&str; 3] = ["/v1/apply", "/v1/explain", "/v1/reach"];

/// The lab that a command uses if none is named.
pub const DEFAULT_LAB: &str = "egret";

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No lab of that name runs.
    #[error("{}", not_running(lab, *starting, others))]
    NotRunning {
        /// The lab.
        lab: String,
        /// The process that has the lab, and does not listen yet or no longer listens.
        starting: Option<u32>,
        /// The labs that may run.
        others: Vec<String>,
    },
    /// Only root may use the socket.
    #[error("the lab's socket {path} is for root only: run it with sudo")]
    NotRoot {
        /// The socket.
        path: PathBuf,
    },
    /// The lab refused the request.
    #[error("{0}")]
    Refused(String),
    /// The lab tried and failed.
    #[error("{0}")]
    Failed(String),
    /// The lab runs and does not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
    /// The lab ended while its answer was being read.
    #[error("the lab `{lab}` went down")]
    WentDown {
        /// The lab.
        lab: String,
    },
    /// The lab ended or broke the protocol in the middle of the call.
    #[error("the lab `{lab}` did not answer: {cause}")]
    Broken {
        /// The lab.
        lab: String,
        /// The error of the connection or of the answer.
        cause: String,
    },
}

fn not_running(lab: &str, starting: Option<u32>, others: &[String]) -> String {
    if let Some(process) = starting {
        return format!(
            "lab `{lab}` is still starting, or ending (process {process}): try again in a moment"
        );
    }
    let (others, named) = (
        elsewhere(others),
        if lab == DEFAULT_LAB { String::new() } else { format!(" --lab {lab}") },
    );
    format!("no lab `{lab}` is running{others}: bring it up with `sudo egret up FILE{named}`")
}

/// Lists the running labs in parentheses, for a message about a lab that is not running; nothing if
/// there are none.
pub(crate) fn elsewhere(labs: &[String]) -> String {
    if labs.is_empty() {
        String::new()
    } else {
        format!(" (running: {}; choose one with --lab or EGRET_LAB)", labs.join(", "))
    }
}

/// A lab's control API.
#[derive(Clone, Debug)]
pub struct Client {
    lab: String,
}

impl Client {
    /// Makes the client of a lab, running or not.
    pub fn new(lab: &str) -> Self {
        Self { lab: lab.to_owned() }
    }

    /// Calls with GET.
    ///
    /// # Errors
    /// No such lab, or the lab refused.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Vec::new()).await
    }

    /// Calls with POST.
    ///
    /// # Errors
    /// No such lab, or the lab refused.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        self.call(Method::POST, path, body).await
    }

    /// Calls with POST, and passes a descriptor with the request.
    ///
    /// # Errors
    /// No such lab, or the lab refused.
    pub async fn post_with<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        descriptor: OwnedFd,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        let sent = self.send(Method::POST, path, body, Some(descriptor));
        self.in_time(path, async { self.answer_of(sent.await?).await }).await
    }

    /// Calls with DELETE.
    ///
    /// # Errors
    /// No such lab, or the lab refused.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::DELETE, path, Vec::new()).await
    }

    /// Begins a call whose answer is a stream.
    ///
    /// # Errors
    /// No such lab, or the lab refused.
    pub async fn follow(&self, path: &str, body: &impl Serialize) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        let sent = self.send(Method::POST, path, body, None);
        let (response, driver) = self.in_time(path, sent).await?;
        let status = response.status();
        let stream = response.headers().get(STREAM).and_then(|id| id.to_str().ok());
        let stream = stream.map(str::to_owned);
        let body = response.into_body();
        let mut answer = Answer { client: self.clone(), stream, body, _driver: driver };
        if status.is_success() {
            return Ok(answer);
        }
        let mut problem = Vec::new();
        while let Some(bytes) = answer.next().await? {
            problem.extend_from_slice(&bytes);
        }
        Err(refusal(&problem))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        self.in_time(path, self.call_now(method, path, body)).await
    }

    async fn call_now<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        self.answer_of(self.send(method, path, body, None).await?).await
    }

    async fn answer_of<T: DeserializeOwned>(
        &self,
        (response, _driver): (Response<Incoming>, Driver),
    ) -> Result<T, ClientError> {
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| self.broken(&e))?.to_bytes();
        self.answer(status, &body)
    }

    /// Waits for an answer for as long as the lab can give it. Giving up closes the connection,
    /// which withdraws the request.
    async fn in_time<T>(
        &self,
        path: &str,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let begun = Instant::now();
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                looked = self.look() => looked?,
            }
            let passed = begun.elapsed();
            if passed >= QUICK && !LONG_PATHS.contains(&path) {
                return Err(Silent::of(&self.lab, Silence::IsBusy(passed.as_secs())).into());
            }
        }
    }

    /// Waits a while, and then looks whether the lab answers.
    async fn look(&self) -> Result<(), ClientError> {
        tokio::time::sleep(LOOK).await;
        if is_stopped(&self.lab) {
            return Err(Silent::of(&self.lab, Silence::Stopped).into());
        }
        let asked = self.call_now::<()>(Method::GET, ALIVE_PATH, Vec::new());
        match tokio::time::timeout(ALIVE, asked).await {
            // If it ends, the call itself finds out why it does not answer.
            Ok(_) => Ok(()),
            Err(_) => Err(Silent::of(&self.lab, Silence::Hangs).into()),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        descriptor: Option<OwnedFd>,
    ) -> Result<(Response<Incoming>, Driver), ClientError> {
        let path_of_socket = state::socket(&self.lab);
        let stream = UnixStream::connect(&path_of_socket).await.map_err(|error| {
            let kind = error.kind();
            if kind == io::ErrorKind::PermissionDenied {
                ClientError::NotRoot { path: path_of_socket }
            } else if kind == io::ErrorKind::WouldBlock {
                // More clients wait for it than the kernel has room for.
                Silent::of(&self.lab, Silence::Hangs).into()
            } else {
                self.not_running()
            }
        })?;
        let stream = TokioIo::new(PassingStream::passing(stream, descriptor));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|e| self.broken(&e))?;
        // The reader of the connection sees what goes wrong with it.
        let driver = Driver(tokio::spawn(async { drop(connection.await) }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "egret")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| self.broken(&e))?;
        let response = sender.send_request(request).await.map_err(|e| self.broken(&e))?;
        Ok((response, driver))
    }

    fn answer<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        body: &[u8],
    ) -> Result<T, ClientError> {
        if !status.is_success() {
            return Err(match (status.is_server_error(), refusal(body)) {
                (true, ClientError::Refused(said)) => ClientError::Failed(said),
                (_, refused) => refused,
            });
        }
        let body = if body.is_empty() { b"null" } else { body };
        serde_json::from_slice(body).map_err(|error| self.broken(&error))
    }

    fn not_running(&self) -> ClientError {
        let runs = |lab: &String| *lab != self.lab && !process::is_dying(&state::process(lab));
        let others = state::labs().into_iter().filter(runs).collect();
        let process = state::process(&self.lab).parse().ok();
        let starting = process.filter(|process| process::is_egret(*process));
        ClientError::NotRunning { lab: self.lab.clone(), starting, others }
    }

    fn broken(&self, cause: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken { lab: self.lab.clone(), cause: cause.to_string() }
    }
}

fn refusal(body: &[u8]) -> ClientError {
    let problem = serde_json::from_slice::<Problem>(body).map(|problem| problem.error);
    ClientError::Refused(problem.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned()))
}

/// The task that drives the connection of a call. Dropping it closes the connection.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A streamed answer. Dropping it ends it, and what is on its way is lost.
#[derive(Debug)]
pub struct Answer {
    client: Client,
    /// Its id, if the client can ask for its end.
    stream: Option<String>,
    body: Incoming,
    _driver: Driver,
}

impl Answer {
    /// Asks for the end of the answer: what the lab has recorded until now can still be read.
    ///
    /// # Errors
    /// The lab ended, or the answer is of a kind that ends by itself or by being dropped.
    pub async fn end(&self) -> Result<(), ClientError> {
        let id = self.stream.as_deref().ok_or_else(|| self.client.broken(&"no stream"))?;
        match self.client.post(&format!("/v1/streams/{id}/end"), &()).await {
            // It has ended by itself.
            Ok(()) | Err(ClientError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the next bytes; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The lab ended in the middle of it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(_)) => return Err(self.went_down()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    // Trailers.
                    Err(_) => continue,
                },
            }
        }
    }

    /// Returns the error of an answer that ended before its time.
    pub fn went_down(&self) -> ClientError {
        ClientError::WentDown { lab: self.client.lab.clone() }
    }
}

//! Calls the control API of a running lab.

use super::shared::Problem;
use super::state;
use super::streams::STREAM;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::PathBuf;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Why a call was not met.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No lab of that name runs.
    #[error("no lab `{lab}` is running{}: start one with `sudo egret up FILE`", elsewhere(others))]
    NotRunning {
        /// The lab.
        lab: String,
        /// The labs that may run.
        others: Vec<String>,
    },
    /// The socket is not ours to use.
    #[error("the lab's socket {path} is for root only: run it with sudo")]
    NotRoot {
        /// The socket.
        path: PathBuf,
    },
    /// The lab said no.
    #[error("{0}")]
    Refused(String),
    /// The lab tried, and failed.
    #[error("{0}")]
    Failed(String),
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
        /// What happened.
        cause: String,
    },
}

fn elsewhere(labs: &[String]) -> String {
    if labs.is_empty() {
        String::new()
    } else {
        format!(" (labs here: {}; choose with --lab)", labs.join(", "))
    }
}

/// A lab's control API.
#[derive(Clone, Debug)]
pub struct Client {
    lab: String,
}

impl Client {
    /// The client of a lab, running or not.
    pub fn new(lab: &str) -> Self {
        Self { lab: lab.to_owned() }
    }

    /// Reads.
    ///
    /// # Errors
    /// No such lab, or it said no.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Vec::new()).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// No such lab, or it said no.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        self.call(Method::POST, path, body).await
    }

    /// Asks for something to go.
    ///
    /// # Errors
    /// No such lab, or it said no.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::DELETE, path, Vec::new()).await
    }

    /// Asks for something that goes on.
    ///
    /// # Errors
    /// No such lab, or it said no.
    pub async fn follow(&self, path: &str, body: &impl Serialize) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        let (response, driver) = self.send(Method::POST, path, body).await?;
        let status = response.status();
        let stream = response.headers().get(STREAM).and_then(|id| id.to_str().ok());
        let stream = stream.map(str::to_owned);
        let body = response.into_body();
        let mut answer = Answer { client: self.clone(), stream, body, driver };
        if status.is_success() {
            return Ok(answer);
        }
        let mut problem = Vec::new();
        while let Some(octets) = answer.next().await? {
            problem.extend_from_slice(&octets);
        }
        Err(refusal(&problem))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let (response, driver) = self.send(method, path, body).await?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| self.broken(&e))?.to_bytes();
        driver.abort();
        self.answer(status, &body)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(Response<Incoming>, JoinHandle<()>), ClientError> {
        let path_of_socket = state::socket(&self.lab);
        let stream = UnixStream::connect(&path_of_socket).await.map_err(|error| {
            if error.kind() == io::ErrorKind::PermissionDenied {
                ClientError::NotRoot { path: path_of_socket }
            } else {
                self.not_running()
            }
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.broken(&e))?;
        // What goes wrong with the connection is seen by whoever reads from it.
        let driver = tokio::spawn(async { drop(connection.await) });
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
        let others = state::labs().into_iter().filter(|lab| *lab != self.lab).collect();
        ClientError::NotRunning { lab: self.lab.clone(), others }
    }

    fn broken(&self, cause: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken { lab: self.lab.clone(), cause: cause.to_string() }
    }
}

fn refusal(body: &[u8]) -> ClientError {
    let problem = serde_json::from_slice::<Problem>(body).map(|problem| problem.error);
    ClientError::Refused(problem.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned()))
}

/// An answer that goes on. Dropping it ends it, and what is on its way is lost.
#[derive(Debug)]
pub struct Answer {
    client: Client,
    /// Its id, if its end can be asked for.
    stream: Option<String>,
    body: Incoming,
    driver: JoinHandle<()>,
}

impl Answer {
    /// Asks for the end of it: what the lab has recorded until now is still to be read.
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

    /// The next octets; `None` at its end. Nothing is lost if it is not waited for to the end.
    ///
    /// # Errors
    /// The lab ended in the middle of it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(_)) => return Err(self.went_down()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(octets) => return Ok(Some(octets)),
                    // Trailers.
                    Err(_) => continue,
                },
            }
        }
    }

    /// The error of an answer that ended before its time.
    pub fn went_down(&self) -> ClientError {
        ClientError::WentDown { lab: self.client.lab.clone() }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

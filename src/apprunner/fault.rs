//! The refusal of a call: the name for `__type`, from which SDKs make a typed exception, and its
//! HTTP status.

use axum::http::StatusCode;

/// Characters of the longest message: `ErrorMessage` of the model.
const LONGEST: usize = 600;

/// The reason why a call fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}", name = self.kind.name())]
pub struct Fault {
    /// The exception.
    pub kind: FaultKind,
    /// The error, and how to fix it.
    pub message: String,
}

/// The exceptions, of App Runner's model (spec 1.3) and of the front end that all AWS services
/// share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A parameter is not valid.
    InvalidRequest,
    /// The account has reached its quota.
    ServiceQuotaExceeded,
    /// No resource has this ARN.
    ResourceNotFound,
    /// The resource cannot do this in its state.
    InvalidState,
    /// An error that the caller cannot fix.
    InternalServiceError,
    /// The lab is being taken down.
    ServiceUnavailable,
    /// The body is not JSON, or a member has the wrong type.
    Serialization,
    /// The operation is unknown to App Runner, or not served by egret.
    UnknownOperation,
    /// The body is too large.
    RequestEntityTooLarge,
    /// The body took too long.
    RequestTimeout,
    /// There is no signature.
    MissingAuthenticationToken,
    /// The signature's header is incomplete.
    IncompleteSignature,
    /// The access key is not known.
    UnrecognizedClient,
    /// The signature does not match this request, or is too old.
    InvalidSignature,
}

impl FaultKind {
    /// Returns the exception's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequestException",
            Self::ServiceQuotaExceeded => "ServiceQuotaExceededException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::InvalidState => "InvalidStateException",
            Self::InternalServiceError => "InternalServiceErrorException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::RequestEntityTooLarge => "RequestEntityTooLargeException",
            Self::RequestTimeout => "RequestTimeoutException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::InvalidSignature => "InvalidSignatureException",
        }
    }

    /// Returns the shape's id, as `__type` has it. Exceptions that are not of App Runner's model
    /// come from AWS's shared front end.
    pub fn shape_id(self) -> String {
        let namespace = match self {
            Self::InvalidRequest
            | Self::ServiceQuotaExceeded
            | Self::ResourceNotFound
            | Self::InvalidState
            | Self::InternalServiceError => "com.amazonaws.apprunner",
            Self::ServiceUnavailable
            | Self::Serialization
            | Self::UnknownOperation
            | Self::RequestEntityTooLarge
            | Self::RequestTimeout
            | Self::MissingAuthenticationToken
            | Self::IncompleteSignature
            | Self::UnrecognizedClient
            | Self::InvalidSignature => "com.amazon.coral.service",
        };
        format!("{namespace}#{}", self.name())
    }

    /// Returns the HTTP status. A caller's mistake is never a 5xx, after which SDKs would try again
    /// (spec 1.1).
    pub fn status(self) -> StatusCode {
        match self {
            Self::InternalServiceError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::RequestEntityTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InvalidRequest
            | Self::ServiceQuotaExceeded
            | Self::ResourceNotFound
            | Self::InvalidState
            | Self::Serialization
            | Self::UnknownOperation
            | Self::MissingAuthenticationToken
            | Self::IncompleteSignature
            | Self::UnrecognizedClient
            | Self::InvalidSignature => StatusCode::BAD_REQUEST,
        }
    }
}

impl Fault {
    /// Makes a fault with its message, which is cut at the model's limit.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(LONGEST) {
            message.truncate(end);
        }
        Self { kind, message }
    }

    /// Makes a fault for a parameter that is not valid.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::InvalidRequest, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_the_model_ends_it() {
        let fault = Fault::invalid("ü".repeat(700));
        assert_eq!(fault.message, "ü".repeat(600));
        assert_eq!(fault.kind.shape_id(), "com.amazonaws.apprunner#InvalidRequestException");
    }
}

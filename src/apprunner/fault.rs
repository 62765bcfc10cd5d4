//! What a call is refused with: the name that goes into `__type`, which SDKs make a typed exception of, and its HTTP status.

use axum::http::StatusCode;

/// `ErrorMessage` of the model: no message is longer.
const LONGEST: usize = 600;

/// Why a call is not met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}", name = self.kind.name())]
pub struct Fault {
    /// Which exception it is.
    pub kind: Kind,
    /// What is wrong, and the way out.
    pub message: String,
}

/// The exceptions, of App Runner's model (spec 1.3) and of what AWS has before every service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A parameter is not valid.
    InvalidRequest,
    /// The account has as many of these as it may.
    ServiceQuotaExceeded,
    /// There is nothing with this ARN.
    ResourceNotFound,
    /// The resource cannot do this in its state.
    InvalidState,
    /// Something that the caller cannot mend.
    InternalServiceError,
    /// The lab is being taken down.
    ServiceUnavailable,
    /// The body is not JSON, or a member has the wrong type.
    Serialization,
    /// The operation is none of App Runner, or none that egret serves.
    UnknownOperation,
    /// The body is too large.
    RequestEntityTooLarge,
    /// The body took too long.
    RequestTimeout,
    /// There is no signature.
    MissingAuthenticationToken,
    /// The signature's header lacks something.
    IncompleteSignature,
    /// The access key is not known.
    UnrecognizedClient,
    /// The signature is not of this request, or too old.
    InvalidSignature,
}

impl Kind {
    /// The exception's name.
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

    /// The shape's id, as `__type` has it. What is not of App Runner's model comes from what AWS runs in front of it.
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

    /// The HTTP status. Nothing that the caller got wrong is a 5xx, which SDKs would try again (spec 1.1).
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
    /// A fault with its message, which is cut where the model ends it.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(LONGEST) {
            message.truncate(end);
        }
        Self { kind, message }
    }

    /// A parameter that is not valid.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidRequest, message)
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

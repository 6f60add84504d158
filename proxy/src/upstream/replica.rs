//! What a request without a body consists of, kept until its answer is there: it may have to be sent again.
//!
//! Names and values are shared with the request, and the list is used again by the next one: a copy of the header map
//! would be two allocations and a hash table that nearly nobody looks into.

use super::RequestBody;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// Header fields in their order.
pub(crate) type Fields = Vec<(HeaderName, HeaderValue)>;

/// A request that can be made again.
pub(crate) struct Replica {
    method: Method,
    uri: Uri,
    fields: Fields,
}

impl Replica {
    /// A copy of a request that has no body. `fields` is an empty list to use.
    pub(crate) fn of(request: &Request<RequestBody>, mut fields: Fields) -> Self {
        fields.extend(request.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
        Self { method: request.method().clone(), uri: request.uri().clone(), fields }
    }

    /// The request again.
    pub(crate) fn into_request(self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        for (name, value) in self.fields {
            request.headers_mut().append(name, value);
        }
        request
    }

    /// The list, to be used again.
    pub(crate) fn into_fields(mut self) -> Fields {
        self.fields.clear();
        self.fields
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_replica_makes_the_same_request_again() {
        let build = Request::builder().method("HEAD").uri("/a?b").header("x", "1").header("y", "2").header("x", "3");
        let request = build.body(RequestBody::Empty).unwrap();
        let again = Replica::of(&request, Vec::new()).into_request();
        assert_eq!(again.method(), request.method());
        assert_eq!(again.uri(), request.uri());
        assert_eq!(again.headers(), request.headers());
        let fields = Replica::of(&request, Vec::new()).into_fields();
        assert!(fields.is_empty() && fields.capacity() >= 3);
    }
}

//! The inputs of the operations that egret serves, as App Runner's service model has them (API
//! version 2020-05-15; spec 1.4). A test that reads botocore's copy of the model proves each
//! constraint on the running API.

use super::noting::Setting::{self, AccessRole, Source};
use super::shape::{Member, Pattern, Shape, Text, pattern};

const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, shape, required: true, setting: None }
}

const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, shape, required: false, setting: None }
}

/// Marks a member as not run: a broken constraint there is refused only if the lab file says so.
const fn not_run(setting: Setting, member: Member) -> Member {
    Member { setting: Some(setting), ..member }
}

/// Returns a string shape with a length and nothing else. The model's `.*` matches everything.
const fn text(least: usize, most: usize) -> Text {
    Text { least, most, pattern: None, sensitive: false }
}

const fn secret(least: usize, most: usize) -> Text {
    Text { least, most, pattern: None, sensitive: true }
}

macro_rules! patterned {
    ($least:literal, $most:expr, $pattern:literal) => {
        patterned!($least, $most, $pattern, $pattern)
    };
    ($least:literal, $most:expr, $pattern:literal, $same:literal) => {
        Shape::String({
            static PATTERN: Pattern = pattern!($pattern, $same);
            &Text { least: $least, most: $most, pattern: Some(&PATTERN), sensitive: false }
        })
    };
}

pub(super) static CREATE_VPC_CONNECTOR: Shape = Shape::Structure(&[
    required("VpcConnectorName", &VPC_CONNECTOR_NAME),
    required("Subnets", &STRINGS),
    optional("SecurityGroups", &STRINGS),
    optional("Tags", &TAGS),
]);

pub(super) static VPC_CONNECTOR: Shape =
    Shape::Structure(&[required("VpcConnectorArn", &RESOURCE_ARN)]);

pub(super) static LIST_VPC_CONNECTORS: Shape = Shape::Structure(&[
    optional("MaxResults", &Shape::Integer(1, 100)),
    optional("NextToken", &Shape::String(&text(1, 1024))),
]);

pub(super) static CREATE_SERVICE: Shape = Shape::Structure(&[
    required("ServiceName", &SERVICE_NAME),
    not_run(Source, required("SourceConfiguration", &SOURCE)),
    not_run(Source, optional("InstanceConfiguration", &INSTANCE)),
    optional("Tags", &TAGS),
    not_run(Source, optional("EncryptionConfiguration", &ENCRYPTION)),
    not_run(Source, optional("HealthCheckConfiguration", &HEALTH_CHECK)),
    not_run(Source, optional("AutoScalingConfigurationArn", &RESOURCE_ARN)),
    optional("NetworkConfiguration", &NETWORK),
    not_run(Source, optional("ObservabilityConfiguration", &OBSERVABILITY)),
]);

pub(super) static UPDATE_SERVICE: Shape = Shape::Structure(&[
    required("ServiceArn", &RESOURCE_ARN),
    not_run(Source, optional("SourceConfiguration", &SOURCE)),
    not_run(Source, optional("InstanceConfiguration", &INSTANCE)),
    not_run(Source, optional("AutoScalingConfigurationArn", &RESOURCE_ARN)),
    not_run(Source, optional("HealthCheckConfiguration", &HEALTH_CHECK)),
    optional("NetworkConfiguration", &NETWORK),
    not_run(Source, optional("ObservabilityConfiguration", &OBSERVABILITY)),
]);

pub(super) static SERVICE: Shape = Shape::Structure(&[required("ServiceArn", &RESOURCE_ARN)]);

pub(super) static LIST_SERVICES: Shape = Shape::Structure(&[
    optional("NextToken", &STRING),
    optional("MaxResults", &Shape::Integer(1, 20)),
]);

pub(super) static LIST_OPERATIONS: Shape = Shape::Structure(&[
    required("ServiceArn", &RESOURCE_ARN),
    optional("NextToken", &STRING),
    optional("MaxResults", &Shape::Integer(1, 20)),
]);

pub(super) static TAG_RESOURCE: Shape =
    Shape::Structure(&[required("ResourceArn", &RESOURCE_ARN), required("Tags", &TAGS)]);

pub(super) static UNTAG_RESOURCE: Shape = Shape::Structure(&[
    required("ResourceArn", &RESOURCE_ARN),
    required("TagKeys", &Shape::List(&TAG_KEY)),
]);

pub(super) static LIST_TAGS_FOR_RESOURCE: Shape =
    Shape::Structure(&[required("ResourceArn", &RESOURCE_ARN)]);

static STRING: Shape = Shape::String(&text(0, 51_200));
static STRINGS: Shape = Shape::List(&STRING);

static RESOURCE_ARN: Shape = patterned!(
    1,
    1011,
    r"arn:aws(-[A-Za-z0-9_]+)*:[a-z0-9\-\\.]{0,63}:[a-z0-9\-\\.]{0,63}:[0-9]{12}:([A-Za-z0-9_]|/|-){1,1011}"
);

static VPC_CONNECTOR_NAME: Shape = patterned!(4, 40, r"[A-Za-z0-9][A-Za-z0-9\-_]{3,39}");
static SERVICE_NAME: Shape = patterned!(4, 40, r"[A-Za-z0-9][A-Za-z0-9\-_]{3,39}");

static TAGS: Shape = Shape::List(&Shape::Structure(&[
    optional("Key", &TAG_KEY),
    optional("Value", &Shape::String(&text(0, 256))),
]));

static TAG_KEY: Shape = Shape::String({
    static PATTERN: Pattern =
        pattern!("^(?!aws:).+", r"[^a\n].*|a(?:[^w\n].*)?|aw(?:[^s\n].*)?|aws(?:[^:\n].*)?");
    &Text { least: 1, most: 128, pattern: Some(&PATTERN), sensitive: false }
});

static SOURCE: Shape = Shape::Structure(&[
    optional("CodeRepository", &CODE_REPOSITORY),
    optional("ImageRepository", &IMAGE_REPOSITORY),
    optional("AutoDeploymentsEnabled", &Shape::Boolean),
    not_run(
        AccessRole,
        optional(
            "AuthenticationConfiguration",
            &Shape::Structure(&[
                optional("ConnectionArn", &RESOURCE_ARN),
                optional("AccessRoleArn", &ROLE_ARN),
            ]),
        ),
    ),
]);

static CODE_REPOSITORY: Shape = Shape::Structure(&[
    required("RepositoryUrl", &STRING),
    required(
        "SourceCodeVersion",
        &Shape::Structure(&[
            required("Type", &Shape::Enum(&["BRANCH"])),
            required("Value", &STRING),
        ]),
    ),
    optional(
        "CodeConfiguration",
        &Shape::Structure(&[
            required("ConfigurationSource", &Shape::Enum(&["REPOSITORY", "API"])),
            optional("CodeConfigurationValues", &CODE_CONFIGURATION_VALUES),
        ]),
    ),
    optional("SourceDirectory", &patterned!(1, 4096, r"[^\x00]+")),
]);

static CODE_CONFIGURATION_VALUES: Shape = Shape::Structure(&[
    required(
        "Runtime",
        &Shape::Enum(&[
            "PYTHON_3",
            "NODEJS_12",
            "NODEJS_14",
            "CORRETTO_8",
            "CORRETTO_11",
            "NODEJS_16",
            "GO_1",
            "DOTNET_6",
            "PHP_81",
            "RUBY_31",
            "PYTHON_311",
            "NODEJS_18",
            "NODEJS_22",
        ]),
    ),
    optional("BuildCommand", &COMMAND),
    optional("StartCommand", &COMMAND),
    optional("Port", &STRING),
    optional("RuntimeEnvironmentVariables", &ENVIRONMENT),
    optional("RuntimeEnvironmentSecrets", &SECRETS),
]);

static IMAGE_REPOSITORY: Shape = Shape::Structure(&[
    required("ImageIdentifier", &IMAGE_IDENTIFIER),
    optional(
        "ImageConfiguration",
        &Shape::Structure(&[
            optional("RuntimeEnvironmentVariables", &ENVIRONMENT),
            optional("StartCommand", &COMMAND),
            optional("Port", &STRING),
            optional("RuntimeEnvironmentSecrets", &SECRETS),
        ]),
    ),
    required("ImageRepositoryType", &Shape::Enum(&["ECR", "ECR_PUBLIC"])),
]);

static IMAGE_IDENTIFIER: Shape = patterned!(
    1,
    1024,
    r"([0-9]{12}.dkr.ecr.[a-z\-]+-[0-9]{1}.amazonaws.com/((?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*)(:([A-Za-z0-9_+\-=._:/@])+|@([A-Za-z0-9_:]+))?)|(^public\.ecr\.aws/.+/((?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*)(:([A-Za-z0-9_+\-=._:/@])+|@([A-Za-z0-9_:]+))?)"
);

static COMMAND: Shape = Shape::String({
    static PATTERN: Pattern = pattern!(r"[^\x0a\x0d]+");
    &Text { least: 0, most: usize::MAX, pattern: Some(&PATTERN), sensitive: true }
});

static ENVIRONMENT: Shape = Shape::Map(&secret(1, 51_200), &secret(0, 51_200));
static SECRETS: Shape = Shape::Map(&secret(1, 2048), &secret(1, 2048));

static ROLE_ARN: Shape = patterned!(
    29,
    1024,
    r"arn:(aws|aws-us-gov|aws-cn|aws-iso|aws-iso-b):iam::[0-9]{12}:(role|role/service-role)/[A-Za-z0-9_+=,.@\-/]{1,1000}"
);

static INSTANCE: Shape = Shape::Structure(&[
    optional(
        "Cpu",
        // The model's dots match anything; a number has one dot.
        &patterned!(
            3,
            9,
            r"256|512|1024|2048|4096|(0.25|0.5|1|2|4) vCPU",
            r"256|512|1024|2048|4096|(0\.25|0\.5|1|2|4) vCPU"
        ),
    ),
    optional(
        "Memory",
        &patterned!(
            3,
            6,
            r"512|1024|2048|3072|4096|6144|8192|10240|12288|(0.5|1|2|3|4|6|8|10|12) GB",
            r"512|1024|2048|3072|4096|6144|8192|10240|12288|(0\.5|1|2|3|4|6|8|10|12) GB"
        ),
    ),
    not_run(AccessRole, optional("InstanceRoleArn", &ROLE_ARN)),
]);

static ENCRYPTION: Shape = Shape::Structure(&[required("KmsKey", &KMS_KEY_ARN)]);

static KMS_KEY_ARN: Shape = patterned!(
    0,
    256,
    r"arn:aws(-[A-Za-z0-9_]+)*:kms:[a-z\-]+-[0-9]{1}:[0-9]{12}:key/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
);

static HEALTH_CHECK: Shape = Shape::Structure(&[
    optional("Protocol", &Shape::Enum(&["TCP", "HTTP"])),
    optional("Path", &Shape::String(&text(1, usize::MAX))),
    optional("Interval", &Shape::Integer(1, 20)),
    optional("Timeout", &Shape::Integer(1, 20)),
    optional("HealthyThreshold", &Shape::Integer(1, 20)),
    optional("UnhealthyThreshold", &Shape::Integer(1, 20)),
]);

static NETWORK: Shape = Shape::Structure(&[
    optional(
        "EgressConfiguration",
        &Shape::Structure(&[
            optional("EgressType", &Shape::Enum(&["DEFAULT", "VPC"])),
            optional("VpcConnectorArn", &RESOURCE_ARN),
        ]),
    ),
    optional(
        "IngressConfiguration",
        &Shape::Structure(&[optional("IsPubliclyAccessible", &Shape::Boolean)]),
    ),
    optional("IpAddressType", &Shape::Enum(&["IPV4", "DUAL_STACK"])),
]);

static OBSERVABILITY: Shape = Shape::Structure(&[
    required("ObservabilityEnabled", &Shape::Boolean),
    optional("ObservabilityConfigurationArn", &RESOURCE_ARN),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        let mut patterns = 0;
        for shape in [
            &CREATE_VPC_CONNECTOR,
            &VPC_CONNECTOR,
            &LIST_VPC_CONNECTORS,
            &CREATE_SERVICE,
            &UPDATE_SERVICE,
            &SERVICE,
            &LIST_SERVICES,
            &LIST_OPERATIONS,
            &TAG_RESOURCE,
            &UNTAG_RESOURCE,
            &LIST_TAGS_FOR_RESOURCE,
        ] {
            compile(shape, &mut patterns);
        }
        assert!(patterns > 20, "{patterns}");
    }

    #[test]
    fn a_tag_key_does_not_begin_as_those_of_aws_do() {
        let Shape::String(text) = &TAG_KEY else { unreachable!() };
        let regex = text.pattern.unwrap().regex.as_ref().unwrap();
        for key in ["a", "aw", "aws", "awsome", "ab:", "aw:s", "AWS:a", "aaws:", "é", " "] {
            assert!(regex.is_match(key), "{key}");
        }
        for key in ["aws:", "aws:a", "a\n", "\n", ""] {
            assert!(!regex.is_match(key), "{key:?}");
        }
    }

    fn compile(shape: &Shape, patterns: &mut usize) {
        let mut text = |text: &Text| {
            if let Some(pattern) = text.pattern {
                assert!(pattern.regex.is_ok(), "{}", pattern.text);
                *patterns += 1;
            }
        };
        match shape {
            Shape::String(of) => text(of),
            Shape::Map(key, value) => {
                text(key);
                text(value);
            }
            Shape::List(element) => compile(element, patterns),
            Shape::Structure(members) => {
                members.iter().for_each(|member| compile(member.shape, patterns));
            }
            Shape::Enum(_) | Shape::Integer(..) | Shape::Boolean => {}
        }
    }
}

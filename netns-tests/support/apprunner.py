"""The App Runner API as boto3 sees it: `apprunner.py URL`, against a lab of `apprunner.rs` with quotas of 3.

Every answer is checked against botocore's own service model, member by member, before boto3 gets to see it; every constraint
of the model on what egret serves is broken once, past boto3, which would not send some of it; and every error that the model
gives an operation is provoked.
"""

import json
import re
import sys
import urllib.error
import urllib.request

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

URL = sys.argv[1]
MODEL = botocore.session.get_session().get_service_model("apprunner")
SERVED = """CreateVpcConnector DescribeVpcConnector ListVpcConnectors DeleteVpcConnector CreateService DescribeService
ListServices UpdateService DeleteService PauseService ResumeService ListOperations TagResource UntagResource
ListTagsForResource""".split()
ARN = "arn:aws:apprunner:us-east-1:123456789012:"
HELLO = {
    "ImageRepository": {
        "ImageIdentifier": "public.ecr.aws/aws-containers/hello-app-runner:latest",
        "ImageRepositoryType": "ECR_PUBLIC",
    }
}
provoked = set()


# --- answers, against the model


def must_be(shape, value, path):
    """A value of an answer is what the model says, strictly: no member that is unknown, none that is missing."""
    kind = shape.type_name
    if kind == "structure":
        assert isinstance(value, dict), (path, value)
        for name in shape.required_members:
            assert name in value, f"{path} lacks {name}"
        for name, member in value.items():
            assert name in shape.members, f"{path} has {name}, which the model does not know"
            must_be(shape.members[name], member, f"{path}.{name}")
    elif kind == "list":
        assert isinstance(value, list), (path, value)
        for index, element in enumerate(value):
            must_be(shape.member, element, f"{path}[{index}]")
    elif kind == "map":
        for name, member in value.items():
            must_be(shape.key, name, path)
            must_be(shape.value, member, f"{path}.{name}")
    elif kind == "string":
        assert isinstance(value, str), (path, value)
        constraints = shape.metadata
        assert constraints.get("min", 0) <= len(value) <= constraints.get("max", 10**9), (path, value)
        assert not shape.enum or value in shape.enum, (path, value)
        # For ServiceId, the model's length and pattern exclude each other.
        if "pattern" in constraints and shape.name != "ServiceId":
            assert re.fullmatch(constraints["pattern"], value), (path, value)
    elif kind == "integer":
        assert type(value) is int, (path, value)
    elif kind == "boolean":
        assert type(value) is bool, (path, value)
    elif kind == "timestamp":
        assert type(value) is float and value > 1.7e9, (path, value)
    else:
        raise AssertionError(f"{path}: {kind}")


def check_answer(response_dict, operation_name, **_):
    operation, headers = MODEL.operation_model(operation_name), response_dict["headers"]
    assert headers["Content-Type"] == "application/x-amz-json-1.0", headers
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-amzn-RequestId"]), headers
    body = json.loads(response_dict["body"])
    if response_dict["status_code"] == 200:
        return must_be(operation.output_shape, body, operation_name)
    must_be_error(operation_name, response_dict["status_code"], body)


def must_be_error(operation_name, status, body):
    assert set(body) == {"__type", "Message"}, body
    namespace, name = body["__type"].split("#")
    assert 1 <= len(body["Message"]) <= 600, body
    shapes = {shape.name: shape for shape in MODEL.operation_model(operation_name).error_shapes}
    # The other errors are those that all AWS services share.
    assert (namespace == "com.amazonaws.apprunner") == (name in shapes), (operation_name, body)
    assert status == 400, (status, body)
    if name in shapes:
        must_be(shapes[name], {"Message": body["Message"]}, name)
        provoked.add((operation_name, name))
    return name


def client():
    made = boto3.client(
        "apprunner",
        endpoint_url=URL,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )
    for name in MODEL.operation_names:
        made.meta.events.register(
            f"before-parse.apprunner.{name}",
            lambda response_dict, name=name, **_: check_answer(response_dict, name),
        )
    return made


def fails(code, part, call, **request):
    try:
        call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, (error, code)
        assert part in error.response["Error"]["Message"], (error, part)
        # The error is typed where the model has a type for it.
        known = {shape.name for shape in MODEL.error_shapes}
        assert (type(error).__name__ == code) == (code in known), type(error)
        return
    raise AssertionError(f"{call} {request} succeeded")


# --- requests, against the model


def raw(operation, body, headers=None, data=None):
    data = json.dumps(body).encode() if data is None else data
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AppRunner.{operation}"} | (headers or {})
    request = urllib.request.Request(URL, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as answer:
        return answer.code, json.load(answer)


def least(shape):
    """A value with what is required and nothing else."""
    kind = shape.type_name
    if kind == "structure":
        return {name: least(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [least(shape.member)]
    if kind == "map":
        return {"a": "b"}
    if kind == "integer":
        return shape.metadata["min"]
    if kind == "boolean":
        return True
    if shape.enum:
        return shape.enum[0]
    samples = {
        "AppRunnerResourceArn": ARN + "service/abcd/00000000000000000000000000000000",
        "ImageIdentifier": HELLO["ImageRepository"]["ImageIdentifier"],
        "RoleArn": "arn:aws:iam::123456789012:role/abcd",
        "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000",
        "Cpu": "1024",
        "Memory": "2048",
    }
    return samples.get(shape.name, "abcd")


WRONG_TYPE = {"structure": [], "list": {}, "map": "a", "integer": "1", "boolean": "true", "string": 7}


def breaches(shape):
    """Values that break one constraint each, with the fault that must follow."""
    yield WRONG_TYPE[shape.type_name], "SerializationException"
    constraints = shape.metadata
    if shape.type_name == "string":
        if shape.enum:
            yield "NO_SUCH_WORD", "InvalidRequestException"
        if constraints.get("min", 0) > 0:
            yield "a" * (constraints["min"] - 1), "InvalidRequestException"
        if "max" in constraints:
            yield "a" * (constraints["max"] + 1), "InvalidRequestException"
        # egret does not constrain what the model does not constrain.
        if constraints.get("pattern", ".*") != ".*":
            length = max(constraints.get("min", 1), 1)
            candidates = ["!" * length, "aws:" + "a" * length, "a\nb", "a\0b"]
            broken = [word for word in candidates if not re.fullmatch(constraints["pattern"], word)]
            broken = [word for word in broken if len(word) <= constraints.get("max", 10**9)]
            assert broken, shape
            yield broken[0], "InvalidRequestException"
    if shape.type_name == "integer":
        yield constraints["min"] - 1, "InvalidRequestException"
        yield constraints["max"] + 1, "InvalidRequestException"
        yield 1.5, "SerializationException"


def camel(name):
    return name[0].lower() + name[1:]


def broken_requests(shape, build, path):
    """Every request that breaks one constraint below a shape. `build` puts a value of the shape into a whole request."""
    for value, fault in breaches(shape):
        yield build(value), fault, path
    if shape.type_name == "structure":
        for name in shape.required_members:
            whole = least(shape)
            del whole[name]
            yield build(whole), "InvalidRequestException", path + [camel(name)]
        for name, member in shape.members.items():
            inner = lambda value, name=name: build(least(shape) | {name: value})
            yield from broken_requests(member, inner, path + [camel(name)])
    elif shape.type_name == "list":
        yield from broken_requests(shape.member, lambda value: build([value]), path + ["1.member"])
    elif shape.type_name == "map":
        for value, fault in breaches(shape.value):
            yield build({"a": value}), fault, path + ["value"]
        for key, fault in breaches(shape.key):
            if isinstance(key, str):
                yield build({key: "a"}), fault, path + ["key"]


def constraints():
    count = 0
    for operation in SERVED:
        shape = MODEL.operation_model(operation).input_shape
        for request, fault, path in broken_requests(shape, lambda value: value, []):
            status, body = raw(operation, request)
            name = must_be_error(operation, status, body)
            place = ".".join(path)
            assert name == fault, (operation, place, body)
            assert not place or f"'{place}'" in body["Message"], (place, body)
            count += 1
    assert count > 350, count
    return count


# --- the protocol


def protocol():
    for body in [b"{", b"\xff\xfe", b"[]", b"nul", b"{} {}", b"[" * 100_000]:
        status, answer = raw("ListServices", None, data=body)
        assert must_be_error("ListServices", status, answer) == "SerializationException", answer
    assert raw("ListServices", None, data=b"")[0] == 200
    assert raw("ListServices", {"NoSuchMember": {"a": [1]}, "MaxResults": None})[0] == 200
    status, answer = raw("ListServices", None, data=b" " * (1 << 20) + b"{}")
    assert (status, answer["__type"].split("#")[1]) == (413, "RequestEntityTooLargeException"), answer
    for headers in [
        {"X-Amz-Target": "AppRunner.NoSuchOperation"},
        {"X-Amz-Target": "DynamoDB_20120810.ListTables"},
        {"X-Amz-Target": ""},
        {"Content-Type": "text/plain"},
        {"Host": "rebound.example"},
    ]:
        status, answer = raw("ListServices", {}, headers)
        assert must_be_error("ListServices", status, answer) == "UnknownOperationException", answer
    unserved = [name for name in MODEL.operation_names if name not in SERVED]
    assert len(unserved) == 22
    for name in unserved:
        status, answer = raw(name, {})
        assert must_be_error(name, status, answer) == "UnknownOperationException", answer
        assert f"egret does not serve {name}," in answer["Message"], answer
    for method, path in [("GET", "/"), ("POST", "/else"), ("DELETE", "/")]:
        try:
            urllib.request.urlopen(urllib.request.Request(URL + path, method=method))
            raise AssertionError(f"{method} {path} succeeded")
        except urllib.error.HTTPError as answer:
            assert answer.code == 400 and b"UnknownOperationException" in answer.read()


# --- the operations


def settled(api, arn, status):
    while True:
        service = api.describe_service(ServiceArn=arn)["Service"]
        if service["Status"] != "OPERATION_IN_PROGRESS":
            assert service["Status"] == status, service
            return service


def connectors(api):
    create = api.create_vpc_connector
    made = [
        create(VpcConnectorName=f"prod-{n}", Subnets=["subnet-a", "subnet-b"], SecurityGroups=["sg-app"])["VpcConnector"]
        for n in range(3)
    ]
    assert made[0]["VpcConnectorRevision"] == 1 and made[0]["Status"] == "ACTIVE"
    assert re.fullmatch(ARN + "vpcconnector/prod-0/1/[0-9a-f]{32}", made[0]["VpcConnectorArn"]), made[0]
    arn = made[0]["VpcConnectorArn"]
    assert api.describe_vpc_connector(VpcConnectorArn=arn)["VpcConnector"] == made[0]

    fails("ServiceQuotaExceededException", "quota", create, VpcConnectorName="prod-3", Subnets=["subnet-a"])
    for subnets, groups, part in [
        (["subnet-q"], [], "no subnet subnet-q"),
        ([], [], "at least one"),
        (["subnet-a", "subnet-other"], [], "different VPCs"),
        (["subnet-a"], ["sg-q"], "no security group sg-q"),
        (["subnet-a"], ["sg-other"], "sg-other is in VPC vpc-other"),
        (["subnet-a", "subnet-a"], [], "twice"),
    ]:
        request = {"VpcConnectorName": "prod-4", "Subnets": subnets, "SecurityGroups": groups}
        fails("InvalidRequestException", part, create, **request)
    fails("InvalidRequestException", "one revision per name", create, VpcConnectorName="prod-0", Subnets=["subnet-a"])
    fails("InvalidRequestException", "the lab file has", create, VpcConnectorName="of-file", Subnets=["subnet-a"])

    assert api.list_vpc_connectors()["VpcConnectors"] == made
    first = api.list_vpc_connectors(MaxResults=2)
    rest = api.list_vpc_connectors(MaxResults=2, NextToken=first["NextToken"])
    assert first["VpcConnectors"] + rest["VpcConnectors"] == made and "NextToken" not in rest
    fails("InvalidRequestException", "NextToken", api.list_vpc_connectors, NextToken="x")
    fails("InvalidRequestException", "NextToken", api.list_services, NextToken=first["NextToken"])

    for call in [api.describe_vpc_connector, api.delete_vpc_connector]:
        fails("InvalidRequestException", "not the whole ARN", call, VpcConnectorArn=ARN + "vpcconnector/prod-0/1")
        fails("InvalidRequestException", "not the ARN", call, VpcConnectorArn=ARN + "vpcconnector")
        fails("ResourceNotFoundException", "no VPC connector", call, VpcConnectorArn=arn + "0")
        fails("ResourceNotFoundException", "not of account", call, VpcConnectorArn=arn.replace("us-east-1", "eu-west-1"))
    gone = api.delete_vpc_connector(VpcConnectorArn=arn)["VpcConnector"]
    assert gone["Status"] == "INACTIVE" and gone["DeletedAt"] >= gone["CreatedAt"]
    assert api.describe_vpc_connector(VpcConnectorArn=arn)["VpcConnector"] == gone
    fails("ResourceNotFoundException", "no VPC connector", api.delete_vpc_connector, VpcConnectorArn=arn)
    # Without groups, a connector gets the default one of its VPC.
    again = create(VpcConnectorName="prod-0", Subnets=["subnet-a"])["VpcConnector"]
    assert again["SecurityGroups"] == ["vpc-shop/default"] and again["VpcConnectorArn"] != arn
    return gone, again


def services(api, gone, connector):
    by = lambda arn: {"EgressConfiguration": {"EgressType": "VPC", "VpcConnectorArn": arn}}
    create = lambda name, **more: api.create_service(ServiceName=name, SourceConfiguration=HELLO, **more)
    made = create(
        "web-0",
        NetworkConfiguration=by(connector["VpcConnectorArn"]),
        InstanceConfiguration={"Cpu": "0.5 vCPU", "Memory": "1 GB"},
        HealthCheckConfiguration={"Protocol": "HTTP", "Path": "/health"},
        EncryptionConfiguration={"KmsKey": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"},
        ObservabilityConfiguration={"ObservabilityEnabled": False},
        AutoScalingConfigurationArn=ARN + "autoscalingconfiguration/high-availability/3",
        Tags=[{"Key": "team", "Value": "net"}],
    )
    service, arn = made["Service"], made["Service"]["ServiceArn"]
    assert service["Status"] == "OPERATION_IN_PROGRESS", service
    assert service["InstanceConfiguration"] == {"Cpu": "512", "Memory": "1024"}
    assert service["HealthCheckConfiguration"]["Interval"] == 5
    assert service["AutoScalingConfigurationSummary"]["AutoScalingConfigurationRevision"] == 3
    assert re.fullmatch(r"[a-z0-9]{10}\.us-east-1\.awsapprunner\.com", service["ServiceUrl"])
    assert service["ServiceId"] == arn.rsplit("/")[-1]
    settled(api, arn, "RUNNING")

    for request, part in [
        ({"ServiceName": "of-file-service"}, "the lab file has"),
        ({"ServiceName": "web-0"}, "a service with the name web-0"),
        ({"NetworkConfiguration": by(gone["VpcConnectorArn"])}, "no active VPC connector"),
        ({"NetworkConfiguration": by(arn)}, "not of a VPC connector"),
        ({"NetworkConfiguration": {"EgressConfiguration": {"EgressType": "VPC"}}}, "needs a VpcConnectorArn"),
        (
            {"NetworkConfiguration": {"EgressConfiguration": by(arn)["EgressConfiguration"] | {"EgressType": "DEFAULT"}}},
            "only valid with EgressType VPC",
        ),
        ({"InstanceConfiguration": {"Cpu": "256", "Memory": "4096"}}, "cannot be together"),
        ({"SourceConfiguration": {}}, "neither"),
        ({"SourceConfiguration": HELLO | {"AutoDeploymentsEnabled": True}}, "ECR Public"),
        ({"AutoScalingConfigurationArn": arn}, "not of a auto scaling configuration"),
        ({"Tags": [{"Key": "aws:a", "Value": ""}]}, "(?!aws:)"),
        ({"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]}, "can have 50 tags"),
    ]:
        fails("InvalidRequestException", part, api.create_service, **{"ServiceName": "web-9", "SourceConfiguration": HELLO} | request)

    others = [create(f"web-{n}")["Service"]["ServiceArn"] for n in (1, 2)]
    fails("ServiceQuotaExceededException", "quota", create, name="web-3")
    for other in others:
        settled(api, other, "RUNNING")
    pages = api.list_services(MaxResults=2)
    assert [s["ServiceName"] for s in pages["ServiceSummaryList"]] == ["web-0", "web-1"]
    pages = api.list_services(MaxResults=2, NextToken=pages["NextToken"])
    assert [s["ServiceName"] for s in pages["ServiceSummaryList"]] == ["web-2"] and "NextToken" not in pages

    for call in [
        api.describe_service,
        api.update_service,
        api.delete_service,
        api.pause_service,
        api.resume_service,
        api.list_operations,
    ]:
        fails("ResourceNotFoundException", "no service", call, ServiceArn=arn + "0")
        fails("InvalidRequestException", "not the whole ARN", call, ServiceArn=ARN + "service/web-0")
        fails("InvalidRequestException", "not of a service", call, ServiceArn=gone["VpcConnectorArn"])
    fails("InvalidStateException", "needs PAUSED", api.resume_service, ServiceArn=arn)
    fails("InvalidRequestException", "being used by other services. ARN: " + connector["VpcConnectorArn"] + ". Services: web-0",
          api.delete_vpc_connector, VpcConnectorArn=connector["VpcConnectorArn"])

    updated = api.update_service(ServiceArn=arn, InstanceConfiguration={"Cpu": "1 vCPU", "Memory": "3 GB"})["Service"]
    assert updated["InstanceConfiguration"] == {"Cpu": "1024", "Memory": "3072"}
    assert updated["NetworkConfiguration"] == service["NetworkConfiguration"]
    assert settled(api, arn, "RUNNING")["InstanceConfiguration"] == {"Cpu": "1024", "Memory": "3072"}
    assert "OperationId" in api.pause_service(ServiceArn=arn)
    settled(api, arn, "PAUSED")
    fails("InvalidStateException", "is PAUSED", api.update_service, ServiceArn=arn)
    fails("InvalidStateException", "is PAUSED", api.pause_service, ServiceArn=arn)
    api.resume_service(ServiceArn=arn)
    settled(api, arn, "RUNNING")
    fails("InvalidRequestException", "NextToken", api.list_operations, ServiceArn=arn, NextToken="1.a")
    first = api.list_operations(ServiceArn=arn, MaxResults=3)
    rest = api.list_operations(ServiceArn=arn, MaxResults=3, NextToken=first["NextToken"])
    operations = first["OperationSummaryList"] + rest["OperationSummaryList"]
    kinds = [operation["Type"].removesuffix("_SERVICE") for operation in operations]
    assert kinds == ["RESUME", "PAUSE", "UPDATE", "CREATE"], kinds
    assert all(o["Status"] == "SUCCEEDED" and o["TargetArn"] == arn for o in operations), operations
    assert operations[-1]["Id"] == made["OperationId"]

    api.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "team", "Value": "web"}])
    api.untag_resource(ResourceArn=arn, TagKeys=["a", "absent"])
    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "web"}]
    stranger, partial = gone["VpcConnectorArn"] + "0", ARN + "service/web-0"
    for call, more in [
        (api.tag_resource, {"Tags": []}),
        (api.untag_resource, {"TagKeys": ["a"]}),
        (api.list_tags_for_resource, {}),
    ]:
        fails("ResourceNotFoundException", "there is no VPC connector", call, ResourceArn=stranger, **more)
        fails("InvalidStateException", "is deleted", call, ResourceArn=gone["VpcConnectorArn"], **more)
        fails("InvalidRequestException", "not the whole ARN", call, ResourceArn=partial, **more)

    for one in [arn, *others]:
        assert api.delete_service(ServiceArn=one)["Service"]["Status"] == "OPERATION_IN_PROGRESS"
        assert "DeletedAt" in settled(api, one, "DELETED")
    fails("InvalidStateException", "is DELETED", api.delete_service, ServiceArn=arn)
    assert api.list_services()["ServiceSummaryList"] == []
    for connector in api.list_vpc_connectors()["VpcConnectors"]:
        api.delete_vpc_connector(VpcConnectorArn=connector["VpcConnectorArn"])


def every_error_was_provoked():
    for operation in SERVED:
        for shape in MODEL.operation_model(operation).error_shapes:
            if shape.name != "InternalServiceErrorException":
                assert (operation, shape.name) in provoked, f"{operation} was never refused with {shape.name}"


def main():
    api = client()
    count = constraints()
    protocol()
    services(api, *connectors(api))
    fails("UnknownOperationException", "does not serve StartDeployment", api.start_deployment, ServiceArn="x")
    every_error_was_provoked()
    print(f"{count} constraints, {len(provoked)} errors of operations")


main()

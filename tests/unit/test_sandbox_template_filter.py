"""Removing the resources that MiniStack cannot create from the built template."""

from sandbox.aws.template_filter import remove_unsupported

TEMPLATE = """\
Parameters:
  Metrics:
    Type: String
Resources:
  Queue:
    Type: AWS::SQS::Queue
  OneMetricAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      MetricName: Errors
      Dimensions:
      - Name: Metrics
  MathAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: Two

        paragraphs
      Metrics:
      - Id: a
      Threshold: 1
  SavedQuery:
    Type: AWS::Athena::NamedQuery
    Properties:
      QueryString: SELECT 1
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      Metrics: none
Outputs:
  Url:
    Value: x
"""


def test_an_alarm_on_metric_math_and_a_saved_query_are_removed() -> None:
    start = TEMPLATE.index("  MathAlarm:")
    end = TEMPLATE.index("  Dashboard:")

    removed = remove_unsupported(TEMPLATE)

    assert removed == TEMPLATE[:start] + TEMPLATE[end:]
    assert remove_unsupported(removed) == removed

#!/bin/sh
# Makes the stack's bucket, and a user that may use this bucket and nothing else. May be run again.
set -eu

export MC_CONFIG_DIR=/tmp/mc
export MC_HOST_stack="http://$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD@minio:9000"

mc --quiet mb --ignore-existing "stack/$BUCKET"

cat >/tmp/policy.json <<POLICY
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads",
        "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"
      ],
      "Resource": ["arn:aws:s3:::$BUCKET"]
    },
    {
      "Effect": "Allow",
      "Action": [
        "s3:GetObject", "s3:PutObject", "s3:DeleteObject",
        "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"
      ],
      "Resource": ["arn:aws:s3:::$BUCKET/*"]
    }
  ]
}
POLICY
mc --quiet admin policy create stack "only-$BUCKET" /tmp/policy.json

# Keys come by standard input: arguments of a process can be read by others.
printf '%s\n%s\n' "$BUCKET_ACCESS_KEY" "$BUCKET_SECRET_KEY" | mc --quiet admin user add stack
mc --quiet admin policy attach stack "only-$BUCKET" --user "$BUCKET_ACCESS_KEY" ||
  mc admin policy entities stack --user "$BUCKET_ACCESS_KEY" | grep -q "only-$BUCKET" # attached before
echo "bucket $BUCKET and its user are ready"

# Datasets that a pipeline fills are recognised by their name.
package pipewright.datasets

deny contains {"msg": msg, "key": "/bq_dataset_name"} if {
	not startswith(input.bq_dataset_name, "dataplatform_")
	msg := sprintf("the dataset `%s` must begin with `dataplatform_`", [input.bq_dataset_name])
}
